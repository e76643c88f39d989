/**
 * A payload or result as it was sent: laid out in lines and folded, every token the text's own. Nothing in it is taken
 * for markup, and what cannot be seen in it is named.
 */

import { bytes } from "../core/format.js";
import { t } from "../core/i18n.js";
import { lines, seen } from "../core/json.js";
import { html, useMemo, useState } from "../vendor/preact.js";

const SHOWN_MOST = 500; // lines at first; more are one click away
const TOKEN_MOST = 2000; // characters of one token
/** Texts longer than this are offered as a file. */
export const SHOWN_BYTES = 262_144;

/** @param {{text: string}} props */
function Text({ text }) {
  const [whole, setWhole] = useState(false);
  const cut = whole || text.length <= TOKEN_MOST ? text : text.slice(0, TOKEN_MOST);
  const pieces = seen(cut);
  return html`${pieces.map((piece, at) => (at % 2 ? html`<span class="unseen" title=${t("payload.unseen")}>${piece}</span>` : piece))}${
    cut.length < text.length &&
    html`<button type="button" class="link-button" onClick=${() => setWhole(true)}>… ${t("payload.more", { n: text.length - cut.length })}</button>`
  }`;
}

/** @param {{text: string, label: string}} props */
export function Json({ text, label }) {
  const found = useMemo(() => lines(text), [text]);
  const [folded, setFolded] = useState(/** @type {Set<number>} */ (new Set()));
  const [most, setMost] = useState(SHOWN_MOST);
  const rows = [];
  let at = 0;
  while (at < found.length && rows.length < most) {
    const line = found[at];
    const closed = folded.has(at);
    rows.push({ line, at, closed });
    at = closed ? line.end + 1 : at + 1;
  }
  const fold = (/** @type {number} */ which) => {
    const next = new Set(folded);
    if (!next.delete(which)) next.add(which);
    setFolded(next);
  };
  return html`<div class="payload"><pre tabindex="0" role="group" aria-label=${label}>${rows.map(
    ({ line, at: index, closed }) => html`<div key=${index} class="line" style=${{ paddingLeft: `${Math.min(line.depth, 40) * 2 + 2}ch` }}>${
      line.end > 0 &&
      html`<button type="button" class="fold" aria-expanded=${!closed} aria-label=${t(closed ? "payload.unfold" : "payload.fold")}
        onClick=${() => fold(index)}>${closed ? "▸" : "▾"}</button>`
    }<code>${line.tokens.map((token) => html`<span class=${`k-${token.kind}`}><${Text} text=${token.text} /></span>`)}${
      closed && html`<span class="k-fold"> ${t("payload.lines", { n: line.end - index - 1 })} </span>${found[line.end].tokens.map((token) => token.text)}`
    }</code></div>`,
  )}</pre>
  ${at < found.length && html`<button type="button" class="button" onClick=${() => setMost(most * 4)}>${t("payload.more_lines", { n: found.length - at })}</button>`}
  </div>`;
}

/** Gives a text as a file. @param {string} text @param {string} name @param {string} [type] */
export function download(text, name, type = "application/json") {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** How large a text is as UTF-8, in words. @param {string} text */
export function size(text) {
  return bytes(new Blob([text]).size);
}
