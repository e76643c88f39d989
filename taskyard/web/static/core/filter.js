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
