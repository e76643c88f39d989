/**
 * Columns over time as stacked bars, with a cursor that pointer and arrow keys move, and the same figures as a table.
 */

import { compact, number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { html, useState } from "../vendor/preact.js";

const HIGH = 160;
const STEP = 20;

/** A round figure at or above a number, for the axis. @param {number} most */
function roof(most) {
  if (most <= 4) return 4;
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 10].map((by) => by * unit).find((figure) => figure >= most) ?? most;
}

/**
 * @param {{title: string, label: string, names: string[], series: {key: string, name: string, kind: string, values: number[]}[],
 *   now?: number}} props `label`: the chart in a sentence; `names`: of the columns; `now`: the column that is not over yet
 */
export function Bars({ title, label, names, series, now }) {
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const [table, setTable] = useState(false);
  const sums = names.map((_, column) => series.reduce((sum, one) => sum + one.values[column], 0));
  const top = roof(Math.max(...sums, 0));
  const shown = at === null ? null : Math.min(at, names.length - 1);
  const keys = (/** @type {KeyboardEvent} */ event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    setAt(Math.max(0, Math.min(names.length - 1, (at ?? (by > 0 ? -1 : names.length)) + by)));
  };
  return html`<section class="card chart">
    <header><h2>${title}</h2>
      <div class="legend" aria-live="polite">${shown === null
        ? series.map((one) => html`<span key=${one.key}><i class=${`fill-${one.kind}`}></i>${one.name}</span>`)
        : html`<b>${names[shown]}</b>${series.map((one) => html`<span key=${one.key}><i class=${`fill-${one.kind}`}></i>${one.name} <b>${number(one.values[shown])}</b></span>`)}`}</div>
      <button type="button" class="link-button" aria-pressed=${table} onClick=${() => setTable(!table)}>${t(table ? "chart.as_chart" : "chart.as_table")}</button>
    </header>
    ${table
      ? html`<div class="scroll"><table class="data"><thead><tr><th scope="col">${t("chart.time")}</th>${series.map((one) => html`<th scope="col" class="num" key=${one.key}>${one.name}</th>`)}</tr></thead>
          <tbody>${names.map((name, column) => html`<tr key=${name}><th scope="row">${name}</th>${series.map((one) => html`<td class="num" key=${one.key}>${number(one.values[column])}</td>`)}</tr>`)}</tbody></table></div>`
      : html`<div class="plot">
        <div class="scale" aria-hidden="true"><span>${compact(top)}</span><span>${compact(top / 2)}</span><span>0</span></div>
        <svg role="img" aria-label=${label} tabindex="0" viewBox=${`0 0 ${names.length * STEP} ${HIGH}`} preserveAspectRatio="none"
          onKeyDown=${keys} onPointerLeave=${() => setAt(null)} onBlur=${() => setAt(null)}
          onPointerMove=${(/** @type {PointerEvent} */ event) => {
            const box = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
            setAt(Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * names.length)));
          }}>
          ${[0.5, 1].map((part) => html`<line class="grid" x1="0" x2=${names.length * STEP} y1=${HIGH * (1 - part)} y2=${HIGH * (1 - part)} />`)}
          ${shown !== null && html`<rect class="cursor" x=${shown * STEP} width=${STEP} y="0" height=${HIGH} />`}
          ${names.map((name, column) => {
            let base = HIGH;
            return series.map((one) => {
              const height = (one.values[column] / top) * HIGH;
              base -= height;
              return height > 0 && html`<rect key=${`${name}${one.key}`} class=${`fill-${one.kind}${column === now ? " open" : ""}`} x=${column * STEP + 3} width=${STEP - 6} y=${base} height=${height} />`;
            });
          })}
          <line class="ground" x1="0" x2=${names.length * STEP} y1=${HIGH} y2=${HIGH} />
        </svg>
        <div class="names" aria-hidden="true">${names.map((name, column) => html`<span key=${name}>${column % 3 === 0 ? name : ""}</span>`)}</div>
      </div>`}
  </section>`;
}
