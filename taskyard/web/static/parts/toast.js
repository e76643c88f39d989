/**
 * Short words at the bottom of the page: what was done, with its undo, and what goes on, with its stop.
 *
 * A toast stays 6 s, 10 s with an undo, for ever while it has progress; it waits while the pointer or the focus is on it.
 */

import { t } from "../core/i18n.js";
import { html, render, signal } from "../vendor/preact.js";

const SHOWN_MS = 6000;
const UNDO_MS = 10_000;
const SHOWN_MOST = 3;

/**
 * @typedef {{text: string, kind?: "error", action?: {label: string, run: () => unknown}, progress?: {done: number, of: number},
 *   ms?: number}} Toast
 * @typedef {Toast & {id: number, until: number}} Shown
 */

/** @type {import("../vendor/preact.js").Signal<Shown[]>} */
const shown = signal([]);
let last = 0;
let held = false;
/** @type {number | undefined} */
let timer;

/**
 * Shows a toast; gives what changes it and takes it away.
 * @param {Toast} made
 * @returns {{update: (changes: Partial<Toast>) => void, close: () => void}}
 */
export function toast(made) {
  host();
  last += 1;
  const id = last;
  const until = (/** @type {Toast} */ one) =>
    one.progress ? Number.POSITIVE_INFINITY : Date.now() + (one.ms ?? (one.action ? UNDO_MS : SHOWN_MS));
  const all = [...shown.value, { ...made, id, until: until(made) }];
  // What goes on stays, since its stop is there and nowhere else.
  const latest = all.filter((one) => !one.progress).slice(-SHOWN_MOST);
  shown.value = all.filter((one) => one.progress || latest.includes(one));
  tidy();
  return {
    update: (changes) => {
      shown.value = shown.value.map((one) => {
        if (one.id !== id) return one;
        const changed = { ...one, ...changes };
        return { ...changed, until: until(changed) };
      });
      tidy();
    },
    close: () => close(id),
  };
}

/** Says in a toast that a call failed. @param {{message?: string, details?: string}} error */
export function failed(error) {
  toast({ kind: "error", text: error.details || error.message || String(error), ms: UNDO_MS });
}

/** @param {number} id */
function close(id) {
  shown.value = shown.value.filter((one) => one.id !== id);
}

/** Takes away what has been seen, and comes back for the next. */
function tidy() {
  clearTimeout(timer);
  if (held) return;
  const now = Date.now();
  const rest = shown.value.filter((one) => one.until > now);
  if (rest.length !== shown.value.length) shown.value = rest;
  const next = Math.min(...rest.map((one) => one.until));
  if (Number.isFinite(next)) timer = setTimeout(tidy, next - now + 10);
}

/** @param {boolean} hold */
function hold(hold) {
  held = hold;
  tidy();
}

/** @param {{one: Shown}} props */
function One({ one }) {
  const { text, kind, action, progress } = one;
  return html`<div class=${`toast ${kind ?? ""}`}>
    <span>${text}</span>
    ${progress && html`<progress max=${progress.of || 1} value=${progress.done} aria-label=${text}></progress>`}
    ${action &&
    html`<button type="button" class="button" onClick=${() => {
      close(one.id);
      action.run();
    }}>${action.label}</button>`}
    ${!progress && html`<button type="button" class="icon-button" aria-label=${t("parts.close")} onClick=${() => close(one.id)}>
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" class="shape"><path d="M4 4l8 8m0-8l-8 8" /></svg>
    </button>`}
  </div>`;
}

function Toasts() {
  return html`${shown.value.map((one) => html`<${One} key=${one.id} one=${one} />`)}`;
}

/** Where toasts stand: within an open dialog, since all else is inert and below then. @type {HTMLElement | null} */
let place = null;

function host() {
  if (!place) {
    place = document.createElement("div");
    place.id = "toasts";
    place.setAttribute("role", "status");
    for (const [on, off] of [["mouseenter", "mouseleave"], ["focusin", "focusout"]]) {
      place.addEventListener(on, () => hold(true));
      place.addEventListener(off, () => hold(false));
    }
    render(html`<${Toasts} />`, place);
  }
  const within = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  if (place.parentElement !== within) within.append(place);
}

/** Brings the toasts back to the page when the dialog that they stood in has been taken away. */
export function keepToasts() {
  if (!place || place.parentElement === document.body) return;
  hold(false);
  document.body.append(place);
}
