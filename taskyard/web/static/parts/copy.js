/**
 * Copying a text, on plain HTTP too: `navigator.clipboard` is missing there, so a selection is copied.
 */

import { t } from "../core/i18n.js";
import { html } from "../vendor/preact.js";
import { toast } from "./toast.js";

/** @param {string} text @returns {Promise<boolean>} whether it was copied */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

/** @param {string} text */
function copySelected(text) {
  const before = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.className = "offscreen";
  // Within an open dialog everything outside is inert.
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  return done;
}

/** Copies and says so. @param {string} text @param {string} what what was copied, in words */
export async function copied(text, what) {
  toast({ text: t((await copy(text)) ? "parts.copied" : "parts.copy_failed", { what }) });
}

/** @param {{text: string | (() => string), what: string}} props */
export function Copy({ text, what }) {
  const name = t("parts.copy", { what });
  return html`<button type="button" class="icon-button" title=${name} aria-label=${name}
    onClick=${() => copied(typeof text === "string" ? text : text(), what)}>
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" class="shape">
      <rect x="5.5" y="5.5" width="8" height="8" rx="1.5" /><path d="M10.5 3V2.5h-8v8H3" />
    </svg>
  </button>`;
}
