/** Statistics: a day hour by hour, by server and by type, and the days before it. */

import { withQuery } from "../core/api.js";
import { csv } from "../core/csv.js";
import { compact, duration, number, percent } from "../core/format.js";
import { t } from "../core/i18n.js";
import { now } from "../core/live.js";
import { isAdmin } from "../core/session.js";
import { setQuery, to } from "../nav.js";
import { Bars } from "../parts/bars.js";
import { useKeys } from "../parts/list.js";
import { Shown, useLoad } from "../parts/load.js";
import { download } from "../parts/payload.js";
import { Title } from "../parts/title.js";
import { html } from "../vendor/preact.js";

const EVERY_MS = 15_000;
const DAY_MS = 86_400_000;

/** A day as the API writes it. @param {number} at ms */
const dayOf = (at) => new Date(at).toISOString().slice(0, 10);
/** Whether a text is a day. @param {string | undefined} text */
const isDay = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text ?? "") && !Number.isNaN(Date.parse(text ?? ""));

/** @param {{query: Record<string, string>}} props */
export default function Stats({ query }) {
  const today = dayOf(now.value);
  const date = isDay(query.date) ? query.date : today;
  const how = { every: date === today ? EVERY_MS : undefined };
  const day = useLoad(withQuery("/api/stats", { date }), how);
  const hours = useLoad(withQuery("/api/stats/hourly", { date }), how);
  const by = (/** @type {number} */ days) => {
    const next = dayOf(Date.parse(date) + days * DAY_MS);
    if (next > today) return false;
    setQuery({ date: next === today ? null : next });
    return true;
  };
  useKeys({ "[": () => by(-1), "]": () => by(1) });
  return html`<${Title} name=${t("nav.stats")}>
      <div class="segments"><button type="button" aria-label=${t("stats.day_before")} onClick=${() => by(-1)}>‹</button><button type="button" aria-label=${t("stats.day_after")} disabled=${date >= today} onClick=${() => by(1)}>›</button></div>
      <input type="date" aria-label=${t("stats.day")} value=${date} max=${today} onChange=${(/** @type {any} */ event) => isDay(event.target.value) && setQuery({ date: event.target.value === today ? null : event.target.value })} />
      ${hours.data && day.data && html`<button type="button" class="button wide-only" onClick=${() => save(date, hours.data.hours, day.data)}>${t("tasks.csv")}</button>`}
    </${Title}>
    <${Shown} loaded=${day}>${(/** @type {any} */ data) => html`<p class="sentence">${t(data.totalTasks ? "stats.says" : "stats.says_nothing", { date: data.date, n: data.totalTasks, ok: data.successfulTasks, failed: data.failedTasks + data.timedOutTasks })}</p>
      <${Figures} day=${data} today=${date === today} />`}</${Shown}>
    <${Shown} loaded=${hours} rows=${5}>${(/** @type {any} */ data) => html`<${Hours} hours=${data.hours} date=${date} open=${date === today ? new Date(now.value).getUTCHours() : undefined} />`}</${Shown}>
    ${day.data && html`<div class="columns">
      <${Ranking} title=${t("stats.by_server")} name=${t("servers.name")} rows=${day.data.topServers.map((/** @type {any} */ one) => ({ key: one.serverId, name: one.name, href: to(`/servers/${encodeURIComponent(one.serverId)}`), n: one.tasksProcessed, ended: one.tasksProcessed, ok: one.successRate, average: one.averageProcessingTime }))} />
      ${isAdmin.value && html`<${Ranking} title=${t("stats.by_type")} name=${t("task.type")} rows=${day.data.types.map((/** @type {any} */ one) => ({ key: one.type, name: one.type, href: to(`/tasks?type=${encodeURIComponent(one.type)}`), n: one.created, ended: one.completed + one.failed + one.timedOut, ok: one.successRate, average: one.averageProcessingTime }))} />`}
    </div>`}`;
}

/** @param {{day: any, today: boolean}} props */
function Figures({ day, today }) {
  const ended = day.successfulTasks + day.failedTasks + day.timedOutTasks;
  const figures = [
    ["created", compact(day.totalTasks), today ? t("stats.now", { waiting: day.pendingTasks, running: day.processingTasks }) : ""],
    ["completed", compact(day.successfulTasks), ended ? t("stats.of_ended", { share: day.successfulTasks / ended }) : ""],
    ["failed", compact(day.failedTasks + day.timedOutTasks), t("stats.timed_out", { n: day.timedOutTasks })],
    ["retried", compact(day.retriedTasks), t("stats.cancelled", { n: day.cancelledTasks })],
    ["average", duration(day.averageProcessingTime), t("stats.waited", { span: day.averageWaitTime })],
  ];
  return html`<div class="figures">${figures.map(([name, value, note]) => html`<section key=${name} class="card figure-card"><h2>${t(`stats.${name}`)}</h2><b>${value}</b><span class="muted">${note}</span></section>`)}</div>`;
}

/** @param {{hours: any[], date: string, open?: number}} props */
function Hours({ hours, date, open }) {
  const names = hours.map((one) => `${String(one.hour).padStart(2, "0")}:00`);
  const values = (/** @type {string} */ member) => hours.map((one) => one[member]);
  const busiest = hours.reduce((best, one) => (one.completed > best.completed ? one : best), hours[0]);
  const label = t("stats.chart_says", { date, hour: names[busiest.hour], n: busiest.completed });
  return html`<${Bars} title=${t("stats.ended_by_hour")} label=${label} names=${names} now=${open} series=${[
    { key: "completed", name: t("status.completed"), kind: "completed", values: values("completed") },
    { key: "failed", name: t("status.failed"), kind: "failed", values: values("failed") },
    { key: "timedOut", name: t("status.timeout"), kind: "timeout", values: values("timedOut") },
  ]} />
  <${Bars} title=${t("stats.created_by_hour")} label=${t("stats.created_says", { date, n: hours.reduce((sum, one) => sum + one.created, 0) })} names=${names} now=${open}
    series=${[{ key: "created", name: t("stats.created"), kind: "running", values: values("created") }]} />`;
}

/** @param {{title: string, name: string, rows: {key: string, name: string, href: string, n: number, ended: number, ok: number, average: number}[]}} props */
function Ranking({ title, name, rows }) {
  const most = Math.max(1, ...rows.map((row) => row.n));
  return html`<section class="card"><header><h2>${title}</h2></header>${rows.length
    ? html`<div class="scroll"><table class="data"><thead><tr><th scope="col">${name}</th><th scope="col"><span class="offscreen">${t("stats.share")}</span></th><th scope="col" class="num">${t("nav.tasks")}</th><th scope="col" class="num">${t("stats.ok")}</th><th scope="col" class="num">${t("stats.average")}</th></tr></thead>
        <tbody>${rows.map((row) => html`<tr key=${row.key}><th scope="row"><a href=${row.href}>${row.name}</a></th><td class="bar-cell"><progress max=${most} value=${row.n} aria-hidden="true"></progress></td>
          <td class="num">${number(row.n)}</td><td class="num">${row.ended ? percent(row.ok) : "–"}</td><td class="num">${row.average ? duration(row.average) : "–"}</td></tr>`)}</tbody></table></div>`
    : html`<p class="card-body muted">${t("stats.nothing")}</p>`}</section>`;
}

/** @param {string} date @param {any[]} hours @param {any} day */
function save(date, hours, day) {
  const rows = hours.map((one) => ["hour", `${date}T${String(one.hour).padStart(2, "0")}:00Z`, one.created, one.completed, one.failed, one.timedOut, one.averageTime]);
  for (const one of day.topServers) rows.push(["server", one.serverId, "", Math.round(one.tasksProcessed * one.successRate), one.tasksProcessed - Math.round(one.tasksProcessed * one.successRate), "", one.averageProcessingTime]);
  for (const one of day.types) rows.push(["type", one.type, one.created, one.completed, one.failed, one.timedOut, one.averageProcessingTime]);
  download(csv(["by", "name", "created", "completed", "failed", "timedOut", "averageMs"], rows), `taskyard-${date}.csv`, "text/csv");
}
