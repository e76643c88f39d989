/** A button that changes something at the node: off while the connection is lost, and it says why. */

import { t } from "../core/i18n.js";
import { state } from "../core/live.js";
import { html } from "../vendor/preact.js";

/** @param {{onClick: () => unknown, children: unknown, kind?: string, disabled?: boolean, title?: string, pressed?: boolean}} props */
export function Do({ onClick, children, kind = "", disabled, title, pressed }) {
  const lost = state.value === "lost";
  return html`<button type="button" class=${`button ${kind}`} disabled=${disabled || lost} title=${lost ? t("lost.off") : title}
    aria-pressed=${pressed} onClick=${onClick}>${children}</button>`;
}
