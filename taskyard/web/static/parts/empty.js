/**
 * What stands where a list would: nothing yet, nothing that matches, or what keeps the page from showing it.
 */

import { html } from "../vendor/preact.js";

/** @param {{title: string, text?: unknown, children?: unknown}} props */
export function Empty({ title, text, children }) {
  return html`<div class="empty">
    <h2>${title}</h2>
    ${text && html`<p>${text}</p>`}
    ${children && html`<div class="actions">${children}</div>`}
  </div>`;
}

/** Grey bars in the place of what is on its way: nothing jumps when it comes. @param {{rows?: number}} props */
export function Loading({ rows = 6 }) {
  return html`<div class="loading" aria-busy="true">${Array.from({ length: rows }, () => html`<div></div>`)}</div>`;
}

/** A text in which what stands between backticks is code. @param {{text: string}} props */
export function Ticks({ text }) {
  return html`${text.split("`").map((piece, at) => (at % 2 ? html`<code key=${at}>${piece}</code>` : piece))}`;
}
