/** The row at the head of each page: its name, whether its figures are of now, and what can be done there. */

import { duration, span } from "../core/format.js";
import { t } from "../core/i18n.js";
import { asOf, hold, lostSince, now, release, staleSince, state } from "../core/live.js";
import { setQuery } from "../nav.js";
import { html, useEffect } from "../vendor/preact.js";
import { Icon } from "./icon.js";

export const WINDOWS = /** @type {const} */ (["5m", "1h", "24h"]);

/** The window that a page's query asks for. @param {Record<string, string>} query @param {string} [usual] */
export function windowOf(query, usual = "5m") {
  return /** @type {readonly string[]} */ (WINDOWS).includes(query.window) ? query.window : usual;
}

/**
 * @param {{name: string, count?: number, live?: boolean, window?: string, windows?: readonly string[], children?: unknown}} props
 *   `name` in words; `count` stands before it in the browser's tab; `live`: the page's figures move; `window` the chosen one
 */
export function Title({ name, count, live = false, window, windows = WINDOWS, children }) {
  useEffect(() => {
    document.title = `${count ? `(${count}) ` : ""}${name} · Taskyard`;
  }, [name, count]);
  return html`<header class="title">
    <h1 tabindex="-1" id="page-title">${name}</h1>
    ${live && html`<${Live} />`}
    <div class="actions">
      ${children}
      ${window && html`<${Windows} chosen=${window} all=${windows} />`}
    </div>
  </header>`;
}

/** @param {{chosen: string, all: readonly string[]}} props */
function Windows({ chosen, all }) {
  return html`<div class="segments" role="group" aria-label=${t("frame.window")}>
    ${all.map(
      (one) => html`<button type="button" aria-pressed=${one === chosen} onClick=${() => setQuery({ window: one })}>
        ${t(`window.${one}`)}
      </button>`,
    )}
  </div>`;
}

/** Whether the figures are of now. Pressed, it holds them and lets them go on. */
export function Live() {
  const how = state.value;
  if (how === "lost") {
    const since = span(now.value - lostSince.value);
    return html`<span class="live is-lost"><${Icon} name="lost" size=${12} /><span>${t("live.lost", { since })}</span></span>`;
  }
  if (how === "stale") {
    const since = span(now.value - staleSince.value);
    return html`<span class="live is-lost"><${Icon} name="held" size=${12} /><span>${t("live.stale", { since })}</span></span>`;
  }
  if (how === "connecting") {
    return html`<span class="live"><${Icon} name="dot" size=${12} /><span>${t("live.connecting")}</span></span>`;
  }
  const held = how === "held";
  const age = asOf.value ? duration(Math.max(0, now.value - asOf.value)) : "";
  return html`<button type="button" class=${`live is-${how}`} title=${t(held ? "live.go_on" : "live.hold", { age })}
    onClick=${() => (held ? release() : hold("asked"))}>
    <${Icon} name=${held ? "held" : "dot"} size=${12} /><span>${t(`live.${how}`)}</span>
  </button>`;
}
