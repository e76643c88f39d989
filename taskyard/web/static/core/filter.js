/**
 * What is typed into a list's filter, as the members of a query and back: `type:ocr server:gpu-2 tag:"two words"`.
 */

const WORD = /([a-z]+):(?:"([^"]*)"|(\S*))|"([^"]*)"|(\S+)/g;

/**
 * The members in a text; a word without a known name is `q`.
 * @param {string} text
 * @param {Record<string, string>} names what is typed before the colon -> the member's name
 * @returns {Record<string, string>}
 */
export function typed(text, names) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const [whole, name, quoted, plain, alone, word] of text.matchAll(WORD)) {
    const value = quoted ?? plain ?? alone ?? word;
    if (name !== undefined && !Object.hasOwn(names, name)) found.q = whole;
    else if (value) found[name === undefined ? "q" : names[name]] = value;
  }
  return found;
}

/**
 * A text that `typed` reads as these members.
 * @param {Record<string, string>} members
 * @param {Record<string, string>} names
 * @returns {string}
 */
export function written(members, names) {
  const words = [];
  for (const [name, member] of Object.entries(names)) {
    if (members[member]) words.push(`${name}:${quoted(members[member])}`);
  }
  if (members.q) words.push(quoted(members.q));
  return words.join(" ");
}

/** @param {string} value */
function quoted(value) {
  return /\s/.test(value) ? `"${value}"` : value;
}

const UNITS = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * A time as it is typed, as ms since the epoch: `2h` (ago), `2026-11-24`, `2026-11-24T14:00`, or ms; `null` for no time.
 * @param {string} text
 * @param {number} now ms
 * @returns {number | null}
 */
export function timeOf(text, now) {
  const ago = /^(\d+)([mhd])$/.exec(text);
  if (ago) return now - Number(ago[1]) * UNITS[/** @type {"m" | "h" | "d"} */ (ago[2])];
  if (/^\d{11,}$/.test(text)) return Number(text);
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : at;
}
