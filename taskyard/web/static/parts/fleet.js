/**
 * What runs where: rows of few servers; of many a picture with a cell for each, filled by its load, its status a shape.
 * The picture is one stop for the keyboard: arrow keys walk it, Enter opens.
 */

import { number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { go, to } from "../nav.js";
import { theme } from "../prefs.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { colour } from "./chart.js";
import { Status } from "./status.js";

/** More would be a list to scroll. */
export const ROWS_MOST = 40;
/** A cell's side on a wide screen and on a narrow one, and what is between two, in px. */
const CELL = 16;
const SMALL = 11;
const GAP = 2;
const NARROW = 500;

/** @typedef {{id: string[], slots: number[], active: number[], status: string[], ms: (number | null)[]}} Fleet */

/** @param {{fleet: Fleet}} props */
export function Servers({ fleet }) {
  return fleet.id.length > ROWS_MOST ? html`<${Picture} fleet=${fleet} />` : html`<${Rows} fleet=${fleet} />`;
}

/** @param {string} id */
const path = (id) => `/servers/${encodeURIComponent(id)}`;

/** @param {{fleet: Fleet}} props */
function Rows({ fleet }) {
  return html`<ul class="fleet-rows">
    ${fleet.id.map(
      (id, at) => html`<li key=${id}>
        <a class="name" href=${to(path(id))} title=${id}>${id}</a>
        <${Status} name=${fleet.status[at]} quiet=${fleet.status[at] === "online"} />
        <progress max=${fleet.slots[at]} value=${fleet.active[at]} aria-label=${t("fleet.load", { server: id })}></progress>
        <span class="num">${fleet.active[at]}/${fleet.slots[at]}</span>
      </li>`,
    )}
  </ul>`;
}

/** @param {{fleet: Fleet}} props */
function Picture({ fleet }) {
  /** @type {import("../vendor/preact.js").RefObject<HTMLCanvasElement>} */
  const canvas = useRef(null);
  const [wide, setWide] = useState(0);
  const [at, setAt] = useState(-1);
  const count = fleet.id.length;
  const cell = wide < NARROW ? SMALL : CELL;
  const columns = Math.max(1, Math.floor((wide + GAP) / (cell + GAP)));
  const chosen = theme.value;
  useEffect(() => {
    const box = canvas.current?.parentElement;
    if (!box) return undefined;
    const watch = new ResizeObserver(() => setWide(box.clientWidth));
    watch.observe(box);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    if (canvas.current && wide) draw(canvas.current, fleet, { columns, cell, at });
  }, [fleet, wide, at, chosen]);
  const keys = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -count, End: count }[event.key];
    if (event.key === "Enter" && at >= 0) go(path(fleet.id[at]));
    else if (step) setAt(Math.max(0, Math.min(count - 1, at + step)));
    else return;
    event.preventDefault();
  };
  const under = (/** @type {MouseEvent} */ event) => {
    const place = Math.floor(event.offsetY / (cell + GAP)) * columns + Math.floor(event.offsetX / (cell + GAP));
    return event.offsetX < columns * (cell + GAP) && place < count ? place : -1;
  };
  const words = at < 0 ? t("fleet.picture", { n: count }) : t("fleet.cell", { server: fleet.id[at], status: t(`status.${fleet.status[at]}`), used: fleet.active[at], slots: fleet.slots[at] });
  return html`<div class="fleet-picture">
    <canvas ref=${canvas} role="application" tabindex="0" aria-label=${words} onKeyDown=${keys} onBlur=${() => setAt(-1)}
      onMouseMove=${(/** @type {MouseEvent} */ event) => setAt(under(event))} onMouseLeave=${() => setAt(-1)}
      onClick=${(/** @type {MouseEvent} */ event) => under(event) >= 0 && go(path(fleet.id[under(event)]))}></canvas>
    <p class="muted small" aria-live="polite">${at < 0 ? t("fleet.hint", { n: number(count) }) : words}</p>
  </div>`;
}

/** @param {HTMLCanvasElement} canvas @param {Fleet} fleet @param {{columns: number, cell: number, at: number}} how `at`: the chosen one */
function draw(canvas, fleet, { columns, cell, at }) {
  const sharp = devicePixelRatio || 1;
  const step = cell + GAP;
  const inner = cell * 0.3;
  const outer = cell * 0.7;
  const wide = columns * step;
  const high = Math.ceil(fleet.id.length / columns) * step;
  canvas.width = wide * sharp;
  canvas.height = high * sharp;
  canvas.style.width = `${wide}px`;
  canvas.style.height = `${high}px`;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.scale(sharp, sharp);
  const tone = (/** @type {string} */ name) => colour(/** @type {Element} */ (canvas.parentElement), name);
  const [ground, load, failed, away, warned, ink] = ["raised", "running-fill", "failed-fill", "timeout-fill", "waiting-fill", "ink"].map(tone);
  pen.lineWidth = 2;
  fleet.id.forEach((_, place) => {
    const x = (place % columns) * step;
    const y = Math.floor(place / columns) * step;
    pen.fillStyle = ground;
    pen.fillRect(x, y, cell, cell);
    const part = Math.min(1, fleet.active[place] / Math.max(1, fleet.slots[place]));
    const filled = part > 0 ? Math.max(2, Math.round(part * cell)) : 0;
    pen.fillStyle = load;
    pen.fillRect(x, y + cell - filled, cell, filled);
    const status = fleet.status[place];
    pen.beginPath();
    if (status === "offline" || status === "misconfigured") {
      pen.strokeStyle = failed;
      pen.strokeRect(x + 1, y + 1, cell - 2, cell - 2);
      pen.moveTo(x + inner, y + inner);
      pen.lineTo(x + outer, y + outer);
      pen.moveTo(x + outer, y + inner);
      pen.lineTo(x + inner, y + outer);
      pen.stroke();
    } else if (status === "maintenance" || status === "draining") {
      pen.strokeStyle = away;
      pen.strokeRect(x + 1, y + 1, cell - 2, cell - 2);
      pen.moveTo(x + 3, y + cell - 3);
      pen.lineTo(x + cell - 3, y + 3);
      pen.stroke();
    } else if (status === "degraded") {
      pen.fillStyle = warned;
      pen.moveTo(x + cell / 2, y);
      pen.lineTo(x + cell, y);
      pen.lineTo(x + cell, y + cell / 2);
      pen.fill();
    }
    if (place === at) {
      pen.strokeStyle = ink;
      pen.strokeRect(x + 1, y + 1, cell - 2, cell - 2);
    }
  });
}
