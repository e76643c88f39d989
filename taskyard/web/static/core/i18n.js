/**
 * Words: a dictionary, looked up by key, with the parameters put in. Knows no DOM.
 *
 * An entry is a text, or texts by plural form (`{"one": …, "other": …}`, chosen by the parameter `n`). In a text
 * `{name}` is a parameter as it is, `{name:n}` a whole number, `{name:c}` a short number, `{name:p}` a share in percent,
 * `{name:d}` a duration in ms, `{name:t}` a time of day.
 */

import { signal } from "../vendor/preact.js";
import * as format from "./format.js";

/** @typedef {string | Record<string, string>} Entry */

export const language = signal("en");
/** @type {Record<string, Entry>} */
let words = {};
/** @type {Intl.PluralRules} */
let plurals = new Intl.PluralRules("en");

const FORMS = {
  n: (/** @type {any} */ value) => format.number(value),
  c: (/** @type {any} */ value) => format.compact(value),
  p: (/** @type {any} */ value) => format.percent(value),
  d: (/** @type {any} */ value) => format.duration(value),
  t: (/** @type {any} */ value) => format.clock(value),
};

/** Takes a dictionary into use. @param {string} name @param {Record<string, Entry>} dictionary */
export function use(name, dictionary) {
  words = dictionary;
  plurals = new Intl.PluralRules(name);
  format.speak(name);
  language.value = name;
}

/** Whether there is an entry. @param {string} key */
export function has(key) {
  return Object.hasOwn(words, key);
}

/**
 * The words of a key; the key itself where there are none.
 * @param {string} key
 * @param {Record<string, any>} [params]
 * @returns {string}
 */
export function t(key, params = {}) {
  language.value; // who shows words is drawn again in another language
  const entry = words[key];
  if (entry === undefined) return key;
  const text = typeof entry === "string" ? entry : (entry[plurals.select(Number(params.n))] ?? entry.other);
  return text.replace(/\{(\w+)(?::([ncpdt]))?\}/g, (whole, name, form) => {
    const value = params[name];
    if (value === undefined || value === null) return form ? "–" : whole;
    return form ? FORMS[/** @type {keyof typeof FORMS} */ (form)](value) : String(value);
  });
}
