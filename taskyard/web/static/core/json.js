/**
 * JSON as it was sent: a tokenizer that gives back slices of the text, never values.
 *
 * `JSON.parse` would round 9007199254740993, drop the first of two equal keys and reorder numeric ones. What is shown
 * of payloads and results comes from here. Knows no DOM; text that is no JSON becomes one line as it stands.
 */

/**
 * @typedef {"punct" | "key" | "string" | "number" | "word"} Kind
 * @typedef {{kind: Kind, text: string}} Token
 * @typedef {{depth: number, tokens: Token[], end: number}} Line `end`: where the bracket that opens here closes
 *   (index of that line), 0 when none opens
 */

const WHITE = /[\t\n\r ]*/y;
const NUMBER = /-?[0-9][0-9.eE+-]*/y;
const WORD = /true|false|null/y;
const PUNCT = "{}[]:,";

/** Thrown for text that is no JSON. */
export class NotJson extends Error {}

/**
 * Where the string that begins at `at` ends. Quote by quote, since a pattern would run out of stack in a long one.
 * @param {string} text
 * @param {number} at
 * @returns {number}
 */
function stringEnd(text, at) {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0;
    while (text[end - 1 - escapes] === "\\") escapes += 1;
    if (escapes % 2 === 0) return end + 1;
  }
  throw new NotJson(`a string begins at ${at} and never ends`);
}

/**
 * The token that begins at `at`.
 * @param {string} text
 * @param {number} at
 * @returns {{kind: Kind, start: number, end: number}}
 */
function tokenAt(text, at) {
  const sign = text[at];
  if (PUNCT.includes(sign)) return { kind: "punct", start: at, end: at + 1 };
  if (sign === '"') return { kind: "string", start: at, end: stringEnd(text, at) };
  /** @type {[Kind, RegExp][]} */
  const kinds = [
    ["number", NUMBER],
    ["word", WORD],
  ];
  for (const [kind, pattern] of kinds) {
    pattern.lastIndex = at;
    if (pattern.test(text)) return { kind, start: at, end: pattern.lastIndex };
  }
  throw new NotJson(`nothing known at ${at}`);
}

/**
 * All tokens of a text, in order; white space is left out.
 * @param {string} text
 * @returns {Generator<{kind: Kind, start: number, end: number}>}
 */
export function* tokens(text) {
  let at = 0;
  for (;;) {
    WHITE.lastIndex = at;
    WHITE.test(text);
    at = WHITE.lastIndex;
    if (at >= text.length) return;
    const token = tokenAt(text, at);
    yield token;
    at = token.end;
  }
}

/**
 * The text of a top-level member's value, byte for byte; `null` when there is no such member.
 * @param {string} text an object
 * @param {string} name as it stands in the text, without quotes
 * @returns {string | null}
 */
export function member(text, name) {
  let depth = 0;
  let key = "";
  let start = -1;
  let last = 0;
  for (const token of tokens(text)) {
    const sign = token.kind === "punct" ? text[token.start] : "";
    if (start >= 0 && depth === 1 && (sign === "," || sign === "}")) return text.slice(start, last);
    if (sign === "{" || sign === "[") depth += 1;
    else if (sign === "}" || sign === "]") depth -= 1;
    else if (sign === ":" && depth === 1 && key === `"${name}"`) {
      WHITE.lastIndex = token.end;
      WHITE.test(text);
      start = WHITE.lastIndex;
    } else if (token.kind === "string" && depth === 1 && start < 0) key = text.slice(token.start, token.end);
    last = token.end;
  }
  return null;
}

/**
 * A text laid out in lines, one value a line, with what can be folded. An empty object or list stays on its line.
 * @param {string} text
 * @returns {Line[]}
 */
export function lines(text) {
  try {
    return laidOut(text);
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    return text.split("\n").map((line) => ({ depth: 0, tokens: [{ kind: "string", text: line }], end: 0 }));
  }
}

/** @param {string} text @returns {Line[]} */
function laidOut(text) {
  /** @type {Line[]} */
  const found = [{ depth: 0, tokens: [], end: 0 }];
  /** @type {number[]} */
  const open = [];
  const brackets = [];
  let before = "";
  for (const { kind, start, end } of tokens(text)) {
    const word = text.slice(start, end);
    const sign = kind === "punct" ? word : "";
    const opened = before === "{" || before === "[";
    if (sign === "}" || sign === "]") {
      const from = open.pop();
      if (from === undefined || brackets.pop() !== sign) throw new NotJson("a bracket closes that was never opened");
      if (!opened) {
        found.push({ depth: open.length, tokens: [], end: 0 });
        found[from].end = found.length - 1;
      }
    } else if (opened || before === ",") found.push({ depth: open.length, tokens: [], end: 0 });
    const line = found[found.length - 1];
    if (sign === ":") line.tokens[line.tokens.length - 1].kind = "key";
    line.tokens.push({ kind, text: sign === ":" ? ": " : word });
    if (sign === "{" || sign === "[") {
      open.push(found.length - 1);
      brackets.push(sign === "{" ? "}" : "]");
    }
    before = sign;
  }
  if (open.length) throw new NotJson("a bracket is never closed");
  return found;
}

// Characters that a reader would not see or that would reorder what he sees: controls, zero width, bidi, separators.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

/**
 * A text cut where it holds characters that cannot be seen: the odd pieces are their names, "U+202E".
 * @param {string} text
 * @returns {string[]}
 */
export function seen(text) {
  const pieces = [];
  let from = 0;
  for (const match of text.matchAll(UNSEEN)) {
    pieces.push(text.slice(from, match.index), `U+${match[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`);
    from = match.index + 1;
  }
  pieces.push(text.slice(from));
  return pieces;
}

/**
 * Whether a text has the shape of one JSON object; the node judges it more strictly.
 * @param {string} text
 * @returns {boolean}
 */
export function isObject(text) {
  try {
    return text.trimStart().startsWith("{") && laidOut(text).length > 0;
  } catch (error) {
    if (error instanceof NotJson) return false;
    throw error;
  }
}
