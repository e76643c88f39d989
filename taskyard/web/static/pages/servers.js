/** Servers: all of them with their load and health, and the way to add one. */

import { compact, duration, number, percent } from "../core/format.js";
import { t } from "../core/i18n.js";
import { topics, want } from "../core/live.js";
import { isAdmin } from "../core/session.js";
import { go, setQuery, to } from "../nav.js";
import { Do } from "../parts/button.js";
import { Empty, Ticks } from "../parts/empty.js";
import { focusFilter } from "../parts/filter.js";
import { serverDialog } from "../parts/later.js";
import { listKeys, useKeys, useList } from "../parts/list.js";
import { Shown, useLoad } from "../parts/load.js";
import { Status, serverStatus } from "../parts/status.js";
import { Strip } from "../parts/strip.js";
import { Table } from "../parts/table.js";
import { Title } from "../parts/title.js";
import { html, useEffect, useMemo, useState } from "../vendor/preact.js";

/** How often all is asked for; of a large fleet seldom, for the stream tells what moves. */
const EVERY_MS = 5000;
const LARGE = 100;
const LARGE_MS = 60_000;
/** The worst first: a reader looks for what is wrong. */
const ORDER = ["misconfigured", "offline", "degraded", "initializing", "draining", "maintenance", "online"];

/** @param {string} id */
const path = (id) => `/servers/${encodeURIComponent(id)}`;

/** The columns of the fleet as one entry a server. @param {any} fleet */
function servers(fleet) {
  return (fleet?.id ?? []).map((/** @type {string} */ id, /** @type {number} */ at) => {
    const ended = fleet.completed[at] + fleet.failed[at];
    return {
      id, name: fleet.name[at], status: fleet.status[at], activeTasks: fleet.active[at], maxConcurrent: fleet.maxConcurrent[at],
      capabilities: fleet.capabilities[at], groups: fleet.groups[at], maintenanceReason: fleet.maintenanceReason[at],
      strip: fleet.strip[at], average: fleet.averageRunMs[at], ended, ok: ended ? fleet.completed[at] / ended : null,
    };
  });
}

/** What moved since: load and status by id. @param {any} event */
function movedById(event) {
  const found = new Map();
  event?.id?.forEach((/** @type {string} */ id, /** @type {number} */ at) => {
    found.set(id, { activeTasks: event.active[at], status: event.status[at] });
  });
  return found;
}

/** @typedef {(one: any, other: any) => number} Order */
/** @type {Record<string, Order>} */
const SORTS = {
  status: (one, other) => ORDER.indexOf(one.state) - ORDER.indexOf(other.state) || SORTS.name(one, other),
  name: (one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0),
  load: (one, other) => other.activeTasks / other.maxConcurrent - one.activeTasks / one.maxConcurrent || SORTS.name(one, other),
  average: (one, other) => (other.average ?? -1) - (one.average ?? -1) || SORTS.name(one, other),
  ok: (one, other) => (one.ok ?? 2) - (other.ok ?? 2) || SORTS.name(one, other),
};

/** Whether a server has all words of a filter in its name, id, status, capabilities or groups. @param {any} server @param {string} text */
function matches(server, text) {
  const said = [server.name, server.id, server.state, t(`status.${server.state}`), ...server.capabilities, ...server.groups].join("\n").toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => said.includes(word));
}

/** @param {{query: Record<string, string>}} props */
export default function Servers({ query }) {
  const [every, setEvery] = useState(EVERY_MS);
  // All that is shown of a server, in columns: of a large fleet a third of what the list of servers has.
  const fleet = useLoad("/api/fleet?window=24h", { every });
  useEffect(() => want(["fleet"]), []);
  useEffect(() => setEvery(fleet.data?.id.length > LARGE ? LARGE_MS : EVERY_MS), [fleet.data]);
  const moved = topics.fleet.value;
  const sort = query.sort in SORTS ? query.sort : "status";
  const known = useMemo(() => servers(fleet.data), [fleet.data]);
  const rows = useMemo(() => {
    const present = movedById(moved);
    return known.map((/** @type {any} */ server) => {
      const now = { ...server, ...present.get(server.id) };
      return { ...now, state: serverStatus(now) };
    });
  }, [known, moved]);
  const shown = useMemo(() => rows.filter((/** @type {any} */ row) => !query.q || matches(row, query.q)).sort(SORTS[sort]), [rows, query.q, sort]);
  const list = useList(() => shown.map((/** @type {any} */ row) => row.id));
  useEffect(() => {
    if (query.add && isAdmin.value) {
      setQuery({ add: null });
      serverDialog({ then: fleet.reload });
    }
  }, [query.add]);
  useKeys({
    ...listKeys(list),
    x: () => false,
    Enter: () => (document.activeElement?.closest("a, button") || !list.cursor.value ? false : go(path(list.cursor.value))),
    "/": focusFilter,
    Escape: () => (query.q ? setQuery({ q: null }) : false),
  });
  const step = fleet.data?.stripStep ?? 0;
  return html`<${Title} name=${t("nav.servers")} live>
      ${isAdmin.value && html`<${Do} kind="primary" onClick=${() => serverDialog({ then: fleet.reload })}>${t("servers.add")}</${Do}>`}
    </${Title}>
    <${Shown} loaded=${fleet}>${() =>
      rows.length
        ? html`<p class="sentence">${summary(rows)}</p>
          <div class="filter"><span class="filter-box"><input type="search" class="filter-field" data-filter value=${query.q ?? ""} placeholder=${t("servers.filter")} aria-label=${t("servers.filter")}
            onInput=${(/** @type {any} */ event) => setQuery({ q: event.target.value })} /><kbd aria-hidden="true">/</kbd></span></div>
          ${shown.length
            ? html`<div class="card list"><${Table} label=${t("nav.servers")} rows=${shown} id=${(/** @type {any} */ row) => row.id} list=${{ cursor: list.cursor, selected: {} }}
                columns=${columns(sort, step)} onOpen=${(/** @type {any} */ row) => go(path(row.id))} />
                ${query.q && html`<footer class="list-foot"><span class="muted">${t("servers.shown", { n: shown.length, of: rows.length })}</span></footer>`}</div>`
            : html`<${Empty} title=${t("servers.none_match")}><button type="button" class="button" onClick=${() => setQuery({ q: null })}>${t("filter.clear")}</button></${Empty}>`}`
        : html`<${Empty} title=${t("servers.none")} text=${html`<${Ticks} text=${t("servers.none_text")} />`}>
            ${isAdmin.value && html`<button type="button" class="button primary" onClick=${() => serverDialog({ then: fleet.reload })}>${t("servers.add")}</button>`}
            <a class="button" href=${to("/")}>${t("tasks.first_steps")}</a></${Empty}>`}
    </${Shown}>`;
}

/** "14 servers: 12 online, 1 offline." @param {any[]} rows */
function summary(rows) {
  const by = new Map();
  for (const row of rows) by.set(row.state, (by.get(row.state) ?? 0) + 1);
  const told = [...ORDER].reverse().filter((state) => by.has(state)).map((state) => t("servers.of", { n: by.get(state), status: t(`status.${state}`) }));
  const used = rows.reduce((sum, row) => sum + row.activeTasks, 0);
  const slots = rows.reduce((sum, row) => sum + row.maxConcurrent, 0);
  return t("servers.summary", { n: rows.length, what: told.join(t("parts.joint")), used, slots });
}

/** @param {string} sort @param {number} step @returns {import("../parts/table.js").Column<any>[]} */
function columns(sort, step) {
  const sorting = (/** @type {string} */ key) => ({
    sort: () => setQuery({ sort: key === "status" ? null : key }),
    sorted: sort === key ? /** @type {"ascending" | "descending"} */ (key === "load" || key === "average" ? "descending" : "ascending") : undefined,
  });
  return [
    { key: "name", title: t("servers.name"), class: "lead grow", ...sorting("name"), cell: (row) => html`<a href=${to(path(row.id))}>${row.name}</a>` },
    { key: "status", title: t("tasks.status"), class: "lead", ...sorting("status"), cell: (row) => html`<${Status} name=${row.state} />` },
    { key: "load", title: t("servers.load"), class: "side", ...sorting("load"), cell: (row) => html`<${Load} server=${row} />` },
    { key: "average", title: t("servers.average"), num: true, class: "wide-only", ...sorting("average"), cell: (row) => (row.average === null || row.average === undefined ? "–" : duration(row.average)) },
    { key: "ok", title: t("servers.ok"), num: true, class: "wide-only", ...sorting("ok"), cell: (row) => (row.ok === null ? "–" : html`<span title=${t("servers.ok_of", { n: row.ended })}>${percent(row.ok)} <span class="muted of-ended">${compact(row.ended)}</span></span>`) },
    { key: "strip", title: t("servers.health"), class: "sub", cell: (row) => row.strip && html`<${Strip} strip=${row.strip} step=${step} />` },
    { key: "can", title: t("task.capabilities"), class: "sub grow", cell: (row) => html`<${Can} server=${row} />` },
  ];
}

/** @param {{server: any}} props */
export function Load({ server }) {
  const full = server.activeTasks >= server.maxConcurrent;
  return html`<span class=${full ? "load full" : "load"}><progress max=${server.maxConcurrent} value=${Math.min(server.activeTasks, server.maxConcurrent)} aria-hidden="true"></progress>
    <span class="num">${number(server.activeTasks)}/${number(server.maxConcurrent)}</span></span>`;
}

/** What it can do; or why it is away, which is what one wants to know first. @param {{server: any}} props */
function Can({ server }) {
  if (server.state === "maintenance" && server.maintenanceReason) return html`<span class="muted">${server.maintenanceReason}</span>`;
  if (server.state === "misconfigured") return html`<span class="s-failed">${t("servers.refuses_key")}</span>`;
  return html`<span class="chips one-line" title=${server.capabilities.join(", ")}>${server.capabilities.map((/** @type {string} */ word) => html`<span key=${word} class="chip">${word}</span>`)}</span>`;
}
