/** The small pictures of the frame: 16 px, drawn in the colour of the text beside them. */

import { html } from "../vendor/preact.js";

const ICONS = {
  overview: () => html`<rect x="2" y="2" width="5" height="7" rx="1" /><rect x="9" y="2" width="5" height="4" rx="1" /><rect x="2" y="11" width="5" height="3" rx="1" /><rect x="9" y="8" width="5" height="6" rx="1" />`,
  tasks: () => html`<path d="M2.5 4h11M2.5 8h11M2.5 12h7" />`,
  servers: () => html`<rect x="2" y="2.5" width="12" height="4.5" rx="1" /><rect x="2" y="9" width="12" height="4.5" rx="1" /><path d="M4.5 4.8h.01M4.5 11.2h.01" />`,
  failures: () => html`<path d="M8 2.5l6 11H2zM8 6.8v3M8 11.6v.01" />`,
  balance: () => html`<path d="M8 2.5v11M5 13.5h6M2.5 4.5h11M4 4.5l-2 5h4zM12 4.5l-2 5h4z" />`,
  stats: () => html`<path d="M3 13.5v-5M8 13.5v-11M13 13.5v-7.5" />`,
  system: () => html`<circle cx="8" cy="8" r="2.2" /><path d="M8 1.8v2M8 12.200v2M1.8 8h2M12.2 8h2M3.6 3.600l1.4 1.400M11 11l1.4 1.400M12.4 3.600L11 5M5 11l-1.4 1.4" />`,
  more: () => html`<path d="M3.5 8h.01M8 8h.01M12.5 8h.01" />`,
  search: () => html`<circle cx="7" cy="7" r="4.5" /><path d="M10.5 10.500l3.5 3.5" />`,
  out: () => html`<path d="M6.5 2.500h-4v11h4M7 8h7M11 5l3 3-3 3" />`,
  dot: () => html`<circle cx="8" cy="8" r="4" />`,
  held: () => html`<rect x="3.5" y="3" width="3.5" height="10" /><rect x="9" y="3" width="3.5" height="10" />`,
  lost: () => html`<path d="M3 3l10 10M13 3L3 13" stroke="currentColor" stroke-width="2" />`,
};

/** @param {{name: keyof typeof ICONS, size?: number}} props */
export function Icon({ name, size = 16 }) {
  return html`<svg class="icon" viewBox="0 0 16 16" width=${size} height=${size} aria-hidden="true">${ICONS[name]()}</svg>`;
}

/** The product's mark. */
export function Mark() {
  return html`<svg viewBox="0 0 16 16" width="20" height="20" aria-hidden="true" class="mark">
    <rect x="1" y="1" width="6.4" height="6.4" rx="1.6" class="mark-a" /><rect x="8.6" y="1" width="6.4" height="6.4" rx="1.6" class="mark-b" />
    <rect x="1" y="8.6" width="6.4" height="6.4" rx="1.6" class="mark-c" /><rect x="9.3" y="9.3" width="5" height="5" rx="1.1" class="mark-d" />
  </svg>`;
}
