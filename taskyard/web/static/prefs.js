/** What a reader chose: language and theme in cookies, since the shell is made by them; the rest in the browser alone. */

import { signal } from "./vendor/preact.js";

const YEAR_S = 31_536_000;
const root = document.documentElement;

/** `light`, `dark`, or empty: as the system has it. */
export const theme = signal(root.dataset.theme ?? "");
/** `roomy` or `compact` rows. */
export const density = signal(read("density") ?? "roomy");
/** Whether single letters do something (WCAG 2.1.4). */
export const letters = signal(read("letters") !== "off");

/** @param {string} name */
function read(name) {
  try {
    return localStorage.getItem(`taskyard-${name}`);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string} value */
function write(name, value) {
  try {
    localStorage.setItem(`taskyard-${name}`, value);
  } catch {
    // A browser that keeps nothing still shows everything.
  }
}

/** @param {string} name @param {string} value */
function cookie(name, value) {
  // biome-ignore lint/suspicious/noDocumentCookie: the Cookie Store API is missing on plain HTTP
  document.cookie = `taskyard-${name}=${value}; path=/; max-age=${value ? YEAR_S : 0}; samesite=strict`;
}

/** @param {string} chosen */
export function setTheme(chosen) {
  theme.value = chosen;
  if (chosen) root.dataset.theme = chosen;
  else delete root.dataset.theme;
  cookie("theme", chosen);
}

/** @param {string} chosen */
export function keepLanguage(chosen) {
  cookie("lang", chosen);
}

/** @param {"roomy" | "compact"} chosen */
export function setDensity(chosen) {
  density.value = chosen;
  root.dataset.density = chosen;
  write("density", chosen);
}

/** @param {boolean} on */
export function setLetters(on) {
  letters.value = on;
  write("letters", on ? "on" : "off");
}

root.dataset.density = density.value;
