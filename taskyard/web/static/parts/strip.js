/**
 * A server's health over time in a line of 60 buckets, each its worst status: by height and colour, and in words.
 */

import { t } from "../core/i18n.js";
import { html } from "../vendor/preact.js";

/** The letters of the wire -> status and height. @type {Record<string, [string, number]>} */
const BUCKETS = {
  o: ["online", 3],
  d: ["degraded", 8],
  x: ["offline", 16],
  m: ["maintenance", 10],
  r: ["draining", 6],
  i: ["initializing", 5],
};

/** What a strip says: "online, offline for 2h". @param {string} strip @param {number} step ms of a bucket */
export function told(strip, step) {
  const by = new Map();
  for (const letter of strip) if (letter in BUCKETS && letter !== "o") by.set(letter, (by.get(letter) ?? 0) + 1);
  if (!by.size) return t(/o/.test(strip) ? "strip.well" : "strip.nothing");
  return [...by].map(([letter, n]) => t("strip.for", { status: t(`status.${BUCKETS[letter][0]}`), span: n * step })).join(", ");
}

/** @param {{strip: string, step: number, wide?: boolean}} props `strip`: as `ServerHistory.strip` of the API */
export function Strip({ strip, step, wide }) {
  const words = told(strip, step);
  return html`<svg class=${wide ? "strip wide" : "strip"} viewBox=${`0 0 ${strip.length * 4} 16`} preserveAspectRatio="none"
    role="img" aria-label=${words}><title>${words}</title>
    ${[...strip].map((letter, at) => {
      const bucket = BUCKETS[letter];
      if (!bucket) return html`<rect key=${at} class="none" x=${at * 4} width="3" y="15" height="1" />`;
      return html`<rect key=${at} class=${`fill-${bucket[0]}`} x=${at * 4} width="3" y=${16 - bucket[1]} height=${bucket[1]} />`;
    })}
  </svg>`;
}

/** A trend as small bars. @param {{values: (number | null)[], label: string, kind?: string}} props `kind`: a status' colour */
export function Trend({ values, label, kind = "running" }) {
  const most = Math.max(1, ...values.map((value) => value ?? 0));
  return html`<svg class="trend" viewBox=${`0 0 ${values.length * 4} 16`} preserveAspectRatio="none" role="img" aria-label=${label}>
    <title>${label}</title>
    ${values.map((value, at) => {
      const height = value ? Math.max(1.5, (value / most) * 16) : 0.75;
      return html`<rect key=${at} class=${value ? `fill-${kind}` : "none"} x=${at * 4} width="3" y=${16 - height} height=${height} />`;
    })}
  </svg>`;
}
