/**
 * Lines over time (uPlot). All charts of a page share one cursor; a drag zooms them all, a double click goes back. Arrow
 * keys move the cursor, and the same figures are there as a table. A gap is a gap.
 */

import { clock, minute } from "../core/format.js";
import { language, t } from "../core/i18n.js";
import { theme } from "../prefs.js";
import { html, signal, useEffect, useRef, useState } from "../vendor/preact.js";

const HIGH = 168;
const dark = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(dark.matches);
dark.addEventListener("change", () => {
  systemDark.value = dark.matches;
});

/**
 * @typedef {{key: string, name: string, kind: string, values: (number | null)[], fill?: boolean}} Line
 *   `kind`: a status, whose colour it has
 */

/** A colour of the style sheet as the canvas needs it. @param {Element} place @param {string} name */
export function colour(place, name) {
  const probe = document.createElement("i");
  probe.hidden = true;
  probe.style.color = `var(--${name})`;
  place.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/**
 * @param {{title: string, t: number[], lines: Line[], told: (value: number) => string, sync?: string}} props
 *   `t`: when each point begins, ms; `told`: a value in words
 */
export function Chart({ title, t: times, lines, told, sync = "page" }) {
  const [table, setTable] = useState(false);
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  /** @type {import("../vendor/preact.js").RefObject<HTMLDivElement>} */
  const place = useRef(null);
  const plot = useRef(/** @type {any} */ (null));
  const data = [times.map((time) => time / 1000), ...lines.map((line) => line.values)];
  const look = `${theme.value} ${systemDark.value} ${language.value} ${lines.length}`;
  const newest = useRef(data);
  newest.current = data;
  useEffect(() => {
    const box = place.current;
    if (!box || table) return undefined;
    const options = optionsOf({ box, lines, told, sync, onCursor: setAt });
    let gone = false;
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: box.clientWidth, height: HIGH }));
    watch.observe(box);
    // The page stands before its charts are drawn.
    void import("../vendor/uplot.js").then(({ default: UPlot }) => {
      if (!gone) plot.current = new UPlot(/** @type {any} */ (options), /** @type {any} */ (newest.current), box);
    });
    return () => {
      gone = true;
      watch.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [look, table]);
  useEffect(() => {
    const made = plot.current;
    // While the pointer is on a chart, it holds still.
    if (!made || place.current?.matches(":hover")) return;
    const { min, max } = made.scales.x;
    const before = made.data[0];
    const zoomed = min !== null && before.length > 0 && (min > before[0] || max < before[before.length - 1]);
    made.setData(newest.current);
    if (zoomed) made.setScale("x", { min, max });
  }, [times, table]);
  const last = (/** @type {Line} */ line) => line.values.findLast((value) => value !== null);
  const words = lines.map((line) => t("chart.now", { name: line.name, value: told(last(line) ?? 0) })).join(t("parts.joint"));
  const move = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const made = plot.current;
    if (!step || !made) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(times.length - 1, (at ?? (step > 0 ? -1 : times.length)) + step));
    made.setCursor({ left: made.valToPos(times[next] / 1000, "x"), top: 10 });
  };
  const shown = at !== null && at < times.length ? at : null;
  return html`<section class="card chart">
    <header><h2>${title}</h2>
      <div class="legend" aria-live="polite">
        ${shown !== null && html`<b>${clock(times[shown])}</b>`}
        ${lines.map((line) => html`<span key=${line.key}><i class=${`fill-${line.kind}`}></i>${line.name}${shown !== null && html` <b>${line.values[shown] === null ? "–" : told(/** @type {number} */ (line.values[shown]))}</b>`}</span>`)}
      </div>
      <button type="button" class="link-button" aria-pressed=${table} onClick=${() => setTable(!table)}>${t(table ? "chart.as_chart" : "chart.as_table")}</button>
    </header>
    ${
      table
        ? html`<${Table} times=${times} lines=${lines} told=${told} />`
        : html`<div class="uplot-box" ref=${place} role="img" tabindex="0" aria-label=${`${title}: ${words}`} onKeyDown=${move}
            onBlur=${() => plot.current?.setCursor({ left: -10, top: -10 })}></div>`
    }
  </section>`;
}

/** @param {{times: number[], lines: Line[], told: (value: number) => string}} props */
function Table({ times, lines, told }) {
  const rows = times.map((time, row) => ({ time, row })).filter(({ row }) => lines.some((line) => line.values[row] !== null));
  return html`<div class="scroll chart-table" tabindex="0"><table class="data">
    <thead><tr><th scope="col">${t("chart.time")}</th>${lines.map((line) => html`<th key=${line.key} scope="col" class="num">${line.name}</th>`)}</tr></thead>
    <tbody>${rows.reverse().map(
      ({ time, row }) => html`<tr key=${time}><th scope="row">${clock(time)}</th>
        ${lines.map((line) => html`<td key=${line.key} class="num">${line.values[row] === null ? "–" : told(/** @type {number} */ (line.values[row]))}</td>`)}</tr>`,
    )}</tbody></table></div>`;
}

/** @param {{box: HTMLElement, lines: Line[], told: (value: number) => string, sync: string, onCursor: (at: number | null) => void}} how */
function optionsOf({ box, lines, told, sync, onCursor }) {
  const grid = { stroke: colour(box, "line"), width: 1 };
  const axis = { stroke: colour(box, "muted"), font: `12px ${getComputedStyle(box).fontFamily}`, grid, ticks: { show: false } };
  return {
    width: box.clientWidth,
    height: HIGH,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { sync: { key: sync, setSeries: false }, points: { size: 6 }, y: false },
    scales: { y: { range: (/** @type {any} */ _, /** @type {number} */ _low, /** @type {number} */ high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, size: 28, space: 80, values: (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map((one) => minute(one * 1000)) },
      { ...axis, size: 56, space: 36, values: (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map((one) => told(one)) },
    ],
    series: [
      {},
      ...lines.map((line) => {
        const stroke = colour(box, `${line.kind}-fill`);
        return { label: line.name, stroke, width: 1.5, spanGaps: false, points: { show: false }, fill: line.fill ? stroke.replace(/^rgb\((.*)\)$/, "rgba($1, 0.14)") : undefined };
      }),
    ],
    hooks: { setCursor: [(/** @type {any} */ made) => onCursor(made.cursor.idx ?? null)] },
  };
}
