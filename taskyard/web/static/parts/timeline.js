/**
 * A task's attempts on one axis of time: dashed where it waited, filled in the outcome's colour where it ran.
 */

import { axis } from "../core/axis.js";
import { duration } from "../core/format.js";
import { t } from "../core/i18n.js";
import { html } from "../vendor/preact.js";
import { Shape } from "./status.js";

/**
 * @typedef {{key: string, name: string, shape: string, server: string | null, waitedFrom: number | null, from: number | null,
 *   to: number | null, accepted: number | null, outcome: string, words: string, waits: string, thin: boolean}} Row
 *   one attempt or mark; `thin`: no attempt (declined, unreached, lost); times in ms
 */

/**
 * The attempts of a task as rows: its history, the one that runs or succeeded, and the wait for the next.
 * @param {any} task as the API shows it @param {number} now the node's clock, ms @returns {Row[]}
 */
export function attempts(task, now) {
  /** @type {Row[]} */
  const rows = [];
  let free = Math.max(task.createdAt, task.runAt ?? 0);
  for (const one of task.history) {
    const thin = !["failed", "timeout", "completed", "cancelled"].includes(one.outcome);
    rows.push({
      key: `${one.attempt}`, name: one.count > 1 ? `${one.attempt} × ${one.count}` : `${one.attempt}`, shape: one.outcome,
      server: one.serverId, waitedFrom: free, from: one.startedAt, to: one.endedAt, accepted: null, outcome: one.outcome,
      words: one.outcome === "completed" ? "" : one.error ?? (one.httpStatus ? `HTTP ${one.httpStatus}` : ""), waits: "", thin,
    });
    free = one.endedAt;
  }
  const past = task.history.some((/** @type {any} */ one) => one.startedAt === task.startedAt && one.attempt >= task.attempts);
  const ran = task.startedAt !== null && !past && task.status !== "PENDING";
  const name = `${ran ? task.attempts : task.attempts + 1}`;
  const row = { key: "now", name, server: ran ? task.serverId : null, waitedFrom: free, accepted: null, words: "", waits: "", thin: false };
  if (ran) {
    const outcome = { PROCESSING: "running", COMPLETED: "completed", CANCELLED: "cancelled", TIMEOUT: "timeout" }[/** @type {string} */ (task.status)];
    rows.push({ ...row, shape: outcome ?? "failed", from: task.startedAt, to: task.completedAt ?? now, outcome: outcome ?? "failed" });
  } else if (task.completedAt === null) {
    rows.push({ ...row, shape: "waiting", from: null, to: now, outcome: "waiting" });
  }
  return rows;
}

/** @param {Row} row @returns {string} */
function figures(row) {
  if (row.from === null) return t("timeline.waiting", { span: Math.max(0, (row.to ?? 0) - (row.waitedFrom ?? 0)) });
  return t(row.outcome === "running" ? "timeline.runs" : "timeline.ran", { span: Math.max(0, (row.to ?? 0) - row.from) });
}

/** @param {{row: Row, place: import("../core/axis.js").Axis}} props */
function Bar({ row, place }) {
  const x = (/** @type {number} */ time) => `${(place.at(time) * 100).toFixed(3)}%`;
  const wide = (/** @type {number} */ from, /** @type {number} */ to) => `${Math.max(0.3, (place.at(to) - place.at(from)) * 100).toFixed(3)}%`;
  const from = row.from ?? row.to ?? 0;
  const to = row.to ?? from;
  const waited = row.waitedFrom !== null && from > row.waitedFrom;
  return html`<svg class="span" width="100%" height="16" aria-hidden="true">
    ${waited && html`<line class="waited" x1=${x(row.waitedFrom ?? 0)} x2=${x(from)} y1="8" y2="8" />`}
    ${row.from !== null && html`<rect class=${`fill-${row.shape}`} x=${x(from)} width=${row.thin ? "3" : wide(from, to)} y=${row.thin ? 1 : 3} height=${row.thin ? 14 : 10} rx="2" />`}
    ${row.from === null && html`<circle class="s-waiting" cx=${x(to)} cy="8" r="3" />`}
    ${place.folds.map((fold) => html`<rect class="fold" x=${`${fold.from * 100}%`} width=${`${(fold.to - fold.from) * 100}%`} y="0" height="16" />`)}
  </svg>`;
}

/**
 * @param {{task: any, now: number, waits?: string, link: (server: string) => string}} props `waits`: why it waits, in
 *   words; `link`: a server's page
 */
export function Timeline({ task, now, waits, link }) {
  const rows = attempts(task, now);
  const end = Math.max(task.createdAt + 1, ...rows.map((row) => row.to ?? 0));
  const busy = rows.filter((row) => row.from !== null).map((row) => ({ from: row.from ?? 0, to: row.to ?? 0 }));
  const place = axis(task.createdAt, end, busy);
  return html`<div class="timeline" role="table" aria-label=${t("timeline.name")}>
    ${rows.map((row) => {
      const words = row.shape !== "waiting" ? row.words : rows.length > 1 ? waits : "";
      return html`<div key=${row.key} role="row" class=${row.thin ? "thin" : ""}>
        <div role="cell" class=${`who s-${row.shape}`}><${Shape} name=${row.shape} />
          <span>${t(row.thin ? `outcome.${row.outcome}` : "timeline.attempt", { n: row.name })}</span></div>
        <div role="cell" class="where">${row.server ? html`<a href=${link(row.server)}>${row.server}</a>` : "–"}</div>
        <div role="cell" class="axis"><${Bar} row=${row} place=${place} /><span class="offscreen">${t(`outcome.${row.outcome}`)}</span></div>
        <div role="cell" class="figures">${figures(row)}</div>
        <div role="cell" class=${`words s-${row.shape}`}>${words}</div>
      </div>`;
    })}
    ${place.folds.length > 0 && html`<div role="row" class="folds"><div role="cell" class="axis">
      ${place.folds.map((fold) => html`<span key=${fold.from} style=${{ left: `${((fold.from + fold.to) / 2) * 100}%` }}>⋯ ${duration(fold.ms)}</span>`)}
    </div></div>`}
  </div>`;
}
