/**
 * Lines over time in a small card: gaps stay gaps, a cursor follows pointer and arrow keys, and the figures are there as
 * a table too.
 */

import { minute } from "../core/format.js";
import { t } from "../core/i18n.js";
import { html, useState } from "../vendor/preact.js";

const WIDE = 600;
const HIGH = 120;

/**
 * @typedef {{key: string, name: string, kind: string, values: (number | null)[], told: (value: number) => string, most?: number}} Line
 *   `told`: a value in words; `most`: the top of the scale, where it is known
 */

/**
 * The pieces of a line between its gaps, and the points that stand alone between two, as SVG paths.
 * @param {(number | null)[]} values @param {number} top
 */
function paths(values, top) {
  const step = WIDE / Math.max(1, values.length - 1);
  let line = "";
  let dots = "";
  let pen = "M";
  values.forEach((value, at) => {
    if (value === null) pen = "M";
    else {
      const x = (at * step).toFixed(1);
      const y = (HIGH - (value / top) * HIGH).toFixed(1);
      line += `${pen}${x} ${y}`;
      if (pen === "M" && (values[at + 1] ?? null) === null) dots += `M${x} ${y}h0.01`;
      pen = "L";
    }
  });
  return { line, dots };
}

/** @param {{title: string, t: number[], lines: Line[]}} props `t`: when each point begins, ms */
export function Lines({ title, t: times, lines }) {
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const [table, setTable] = useState(false);
  const most = Math.max(...lines.flatMap((line) => [line.most ?? 0, ...line.values.map((value) => value ?? 0)]));
  const top = most > 0 ? most * (lines[0].most ? 1 : 1.1) : 1;
  const empty = lines.every((line) => line.values.every((value) => value === null));
  const shown = at === null || at >= times.length ? null : at;
  const keys = (/** @type {KeyboardEvent} */ event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    setAt(Math.max(0, Math.min(times.length - 1, (at ?? (by > 0 ? -1 : times.length)) + by)));
  };
  const value = (/** @type {Line} */ line, /** @type {number} */ place) => (line.values[place] === null ? "–" : line.told(/** @type {number} */ (line.values[place])));
  const last = (/** @type {Line} */ line) => line.values.findLast((one) => one !== null);
  const label = empty ? t("chart.nothing") : lines.map((line) => t("chart.now", { name: line.name, value: line.told(last(line) ?? 0) })).join(t("parts.joint"));
  return html`<section class="card chart">
    <header><h2>${title}</h2><div class="legend" aria-live="polite">
      ${shown !== null && html`<b>${minute(times[shown])}</b>`}
      ${lines.map((line) => html`<span key=${line.key}><i class=${`fill-${line.kind}`}></i>${line.name}${shown !== null && html` <b>${value(line, shown)}</b>`}</span>`)}
    </div>${!empty && html`<button type="button" class="link-button" aria-pressed=${table} onClick=${() => setTable(!table)}>${t(table ? "chart.as_chart" : "chart.as_table")}</button>`}</header>
    ${empty
      ? html`<p class="card-body muted">${t("chart.nothing")}</p>`
      : table
        ? html`<div class="scroll"><table class="data"><thead><tr><th scope="col">${t("chart.time")}</th>${lines.map((line) => html`<th key=${line.key} scope="col" class="num">${line.name}</th>`)}</tr></thead>
            <tbody>${times.map((time, place) => lines.some((line) => line.values[place] !== null) && html`<tr key=${time}><th scope="row">${minute(time)}</th>${lines.map((line) => html`<td key=${line.key} class="num">${value(line, place)}</td>`)}</tr>`)}</tbody></table></div>`
        : html`<div class="plot short"><div class="scale" aria-hidden="true"><span>${lines[0].told(top)}</span><span>${lines[0].told(top / 2)}</span><span>0</span></div>
          <svg role="img" tabindex="0" aria-label=${`${title}: ${label}`} viewBox=${`0 0 ${WIDE} ${HIGH}`} preserveAspectRatio="none" onKeyDown=${keys}
            onPointerLeave=${() => setAt(null)} onBlur=${() => setAt(null)}
            onPointerMove=${(/** @type {PointerEvent} */ event) => {
              const box = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
              setAt(Math.round(((event.clientX - box.left) / box.width) * (times.length - 1)));
            }}>
            ${[0.5, 1].map((part) => html`<line class="grid" x1="0" x2=${WIDE} y1=${HIGH * (1 - part)} y2=${HIGH * (1 - part)} />`)}
            ${lines.map((one) => {
              const { line, dots } = paths(one.values, top);
              return html`<path key=${one.key} class=${`line stroke-${one.kind}`} d=${line} /><path key=${`${one.key}-dots`} class=${`dots stroke-${one.kind}`} d=${dots} />`;
            })}
            ${shown !== null && html`<line class="mark" x1=${(shown * WIDE) / Math.max(1, times.length - 1)} x2=${(shown * WIDE) / Math.max(1, times.length - 1)} y1="0" y2=${HIGH} />`}
            <line class="ground" x1="0" x2=${WIDE} y1=${HIGH} y2=${HIGH} />
          </svg>
          <div class="names ends" aria-hidden="true"><span>${minute(times[0])}</span><span>${minute(times[times.length - 1])}</span></div></div>`}
  </section>`;
}
