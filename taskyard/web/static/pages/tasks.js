/** Tasks: a list by filter, changed in place; many at once retried or cancelled. */

import { get, withQuery } from "../core/api.js";
import { csv } from "../core/csv.js";
import { timeOf } from "../core/filter.js";
import { compact, duration, moment, number, span } from "../core/format.js";
import { t } from "../core/i18n.js";
import { hold, now, topics, want } from "../core/live.js";
import { isAdmin, isUser } from "../core/session.js";
import { go, setQuery, to } from "../nav.js";
import { bulk } from "../parts/bulk.js";
import { copied } from "../parts/copy.js";
import { Empty, Loading } from "../parts/empty.js";
import { Filter, focusFilter } from "../parts/filter.js";
import { taskDialog } from "../parts/later.js";
import { listKeys, trail, useKeys, useList } from "../parts/list.js";
import { Problem, useLoad } from "../parts/load.js";
import { download } from "../parts/payload.js";
import { single } from "../parts/single.js";
import { Status, taskStatus } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Title } from "../parts/title.js";
import { failed } from "../parts/toast.js";
import { briefly } from "../parts/why.js";
import { html, useComputed, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";

const PAGE = 50;
const FRESH_MS = 5000;
const COUNTS_MS = 10_000;
const WATCHED_MOST = 100;
/** Scrolling by so many rows changes which are watched. */
const WATCHED_STEP = 25;
const NAMES = { type: "type", server: "server", tag: "tag", capability: "capability", from: "from", to: "to", group: "failure" };
const FACETS = { type: "type", server: "server", tag: "tag", capability: "capability", owner: "owner" };
const TABS = ["", "PENDING", "PROCESSING", "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED"];
const ENDED = new Set(["COMPLETED", "FAILED", "TIMEOUT", "CANCELLED"]);
const RETRIED = new Set(["FAILED", "TIMEOUT", "CANCELLED"]);

/** The page's query as the members of the API's filter. @param {Record<string, string>} query */
function filterOf({ status, type, server, tag, capability, owner, from, to: until, q, failure }) {
  return { status, type, serverId: server, tag, capability, owner, from, to: until, q, failureGroup: failure };
}

/** The same for a bulk change, where times are numbers and the status a list. @param {Record<string, string>} query */
function bulkFilterOf(query) {
  const { status, from, to: until, ...rest } = filterOf(query);
  const given = { ...rest, status: status?.split(","), from: from && Number(from), to: until && Number(until) };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value));
}

/** The lane of a waiting task, by which its reason is found. @param {any} of @param {string | null} pin */
const laneKey = (of, pin) => JSON.stringify([[...of.capabilities].sort(), of.group, pin]);

/** When a task's latest attempt could have begun. @param {any} task */
const ready = (task) => Math.max(task.createdAt, task.runAt ?? 0);

/** How long a task waited, and ran, in ms; `null`: it did not. @param {any} task @param {number} at */
function times(task, at) {
  const waits = task.status === "PENDING";
  return {
    waited: waits ? at - ready(task) : task.startedAt === null ? (task.completedAt ?? at) - ready(task) : task.startedAt - ready(task),
    ran: task.startedAt === null || waits ? null : (task.completedAt ?? at) - task.startedAt,
  };
}

/** `task_019a…3f9c2e`: what differs between neighbours stays. @param {string} id */
const short = (id) => (id.length > 20 ? `${id.slice(0, 9)}…${id.slice(-6)}` : id);

/** The tasks of a filter, more of them, and those that came since. @param {Record<string, string>} query */
function useTasks(query) {
  const path = withQuery("/api/tasks", { ...filterOf(query), limit: PAGE });
  const [kept, setKept] = useState({ path: "", rows: /** @type {any[]} */ ([]), next: /** @type {string | null} */ (null), error: /** @type {any} */ (null) });
  const [fresh, setFresh] = useState(/** @type {any[] | null} */ (null));
  const [more, setMore] = useState(false);
  const current = useRef(path);
  current.current = path;
  const latest = useRef(kept);
  latest.current = kept;
  const load = async () => {
    try {
      const { data } = await get(path);
      if (current.current !== path) return;
      setKept({ path, rows: data.tasks, next: data.nextCursor, error: null });
      setFresh(null);
    } catch (error) {
      if (current.current === path) setKept((was) => ({ ...was, path, error, rows: was.path === path ? was.rows : [] }));
    }
  };
  useEffect(() => {
    setFresh(null);
    void load();
  }, [path]);
  // Those that came since stand ready behind a button; rows on screen do not move.
  useEffect(() => {
    const timer = setInterval(async () => {
      if (document.hidden || latest.current.path !== path || latest.current.error) return;
      const { data } = await get(path).catch(() => ({ data: null }));
      if (!data || current.current !== path) return;
      const { rows } = latest.current;
      const known = new Set(rows.map((row) => row.id));
      const first = rows[0]?.createdAt ?? 0;
      const came = data.tasks.filter((/** @type {any} */ row) => !known.has(row.id) && row.createdAt >= first);
      if (!rows.length && came.length) setKept({ path, rows: data.tasks, next: data.nextCursor, error: null });
      else setFresh(came.length ? came : null);
    }, FRESH_MS);
    return () => clearInterval(timer);
  }, [path]);
  const put = (/** @type {any} */ task) => setKept((was) => ({ ...was, rows: was.rows.map((row) => (row.id === task.id ? { ...row, ...task } : row)) }));
  const showFresh = () => {
    if (!fresh) return;
    if (fresh.length >= PAGE) return void load();
    setKept((was) => ({ ...was, rows: [...fresh, ...was.rows] }));
    setFresh(null);
  };
  const loadMore = async () => {
    setMore(true);
    try {
      const { data } = await get(`${path}&cursor=${encodeURIComponent(kept.next ?? "")}`);
      if (current.current === path) setKept((was) => ({ ...was, rows: [...was.rows, ...data.tasks], next: data.nextCursor }));
    } catch (error) {
      failed(/** @type {Error} */ (error));
    } finally {
      setMore(false);
    }
  };
  return { ...kept, loading: kept.path !== path, fresh, put, showFresh, loadMore, more, reload: load };
}

/**
 * The changes of the tasks that have not ended are told one by one. Which are watched is chosen when rows come and
 * when the screen is elsewhere in a long list, not when one of them ends: a new choice is a new stream.
 * @param {any[]} rows @param {number} top the first row on screen @param {(task: any) => void} put
 */
function useWatched(rows, top, put) {
  const key = rows.map((row) => row.id).join();
  const from = Math.floor(top / WATCHED_STEP) * WATCHED_STEP;
  const ids = useMemo(() => {
    const open = rows.filter((row) => !ENDED.has(row.status));
    const near = open.length > WATCHED_MOST ? rows.slice(from).filter((row) => !ENDED.has(row.status)) : open;
    return near.slice(0, WATCHED_MOST).map((row) => row.id);
  }, [key, from]);
  const latest = useRef(put);
  latest.current = put;
  useEffect(() => want(["overview", "lanes"], { tasks: ids, onTask: (task) => latest.current(task) }), [ids]);
}

/** Why waiting tasks wait, by lane. */
function useReasons() {
  return useComputed(() => {
    const by = new Map();
    for (const lane of topics.lanes.value?.lanes ?? []) by.set(laneKey(lane, lane.serverId), lane);
    return by;
  });
}

/** @param {{task: any, reasons: Map<string, any>}} props */
function Where({ task, reasons }) {
  if (task.status !== "PENDING") return task.serverId ? html`<a href=${to(`/servers/${encodeURIComponent(task.serverId)}`)}>${task.serverId}</a>` : "–";
  if (task.runAt > now.value) return html`<span class="reason">${t("why.brief.scheduled", { at: task.runAt })}</span>`;
  const lane = reasons.get(laneKey(task, null)) ?? [...reasons.values()].find((one) => one.serverId && laneKey(task, one.serverId) === laneKey(one, one.serverId));
  return html`<span class="reason">${lane ? briefly(lane, now.value) : t("status.waiting")}</span>`;
}

/** @param {{task: any, what: "waited" | "ran"}} props */
function Time({ task, what }) {
  const ms = times(task, ENDED.has(task.status) ? 0 : now.value)[what];
  return ms === null ? "–" : duration(Math.max(0, ms));
}

/** @param {{at: number}} props */
function Ago({ at }) {
  return html`<time title=${moment(at)} datetime=${new Date(at).toISOString()}>${t("parts.ago", { span: span(now.value - at) })}</time>`;
}

/** @param {any[]} rows */
function save(rows) {
  const head = ["id", "type", "status", "owner", "serverId", "failures", "maxRetries", "priority", "createdAt", "startedAt", "completedAt", "error"];
  download(csv(head, rows.map((row) => head.map((name) => (name.endsWith("At") && row[name] !== null ? new Date(row[name]).toISOString() : row[name])))), "tasks.csv", "text/csv");
}

/** @param {{query: Record<string, string>}} props */
export default function Tasks({ query }) {
  const tasks = useTasks(query);
  const { rows } = tasks;
  const [top, setTop] = useState(0);
  useWatched(rows, top, tasks.put);
  const reasons = useReasons().value;
  const list = useList(() => rows.map((row) => row.id));
  const chosen = list.selected.value;
  useEffect(() => (chosen.size ? hold("rows selected") : undefined), [chosen.size > 0]);
  useEffect(() => list.select([]), [tasks.path]);
  useEffect(() => {
    trail.value = { ids: rows.map((row) => row.id), back: withQuery("/tasks", query) };
  }, [rows, query]);
  const narrowed = Object.entries(query).some(([name, value]) => name !== "status" && value);
  const names = isAdmin.value ? { ...NAMES, owner: "owner" } : NAMES;
  const one = (/** @type {string | null} */ id) => rows.find((row) => row.id === id);
  const done = () => {
    list.select([]);
    void tasks.reload();
  };
  const change = (/** @type {"retry" | "cancel"} */ what, /** @type {string[]} */ ids) => (ids.length === 1 ? single(what, ids[0], done) : bulk(what, { ids }, done));
  const targets = () => (chosen.size ? [...chosen] : list.cursor.value ? [list.cursor.value] : []);
  const may = isUser.value;
  useKeys({
    ...listKeys(list),
    Enter: () => (document.activeElement?.closest("a, button") || !list.cursor.value ? false : go(`/task/${list.cursor.value}`)),
    a: () => list.select(rows.map((row) => row.id)),
    r: () => (may && targets().length ? void change("retry", targets()) : false),
    c: () => (may && targets().length ? void change("cancel", targets()) : false),
    e: () => (may && list.cursor.value ? void taskDialog(list.cursor.value, { go }).catch(failed) : false),
    y: () => (targets().length ? void copied(targets().join("\n"), t("tasks.ids", { n: targets().length })) : false),
    "/": focusFilter,
    Escape: () => (chosen.size ? list.select([]) : false),
  });
  const columns = useMemo(() => columnsOf(reasons), [reasons]);
  return html`<${Title} name=${t("nav.tasks")} live>
      ${rows.length > 0 && html`<button type="button" class="button wide-only" onClick=${() => save(rows)}>${t("tasks.csv")}</button>`}
    </${Title}>
    <${Tabs} query=${query} narrowed=${narrowed} />
    <${Filter} names=${names} facets=${FACETS} query=${query} onChange=${(/** @type {any} */ changes) => setQuery(changes, { push: true })}
      shown=${(/** @type {string} */ member, /** @type {string} */ value) => (member === "from" || member === "to" ? moment(Number(value)) : value)}
      read=${(/** @type {string} */ member, /** @type {string} */ value) => (member === "from" || member === "to" ? timeOf(value, now.peek())?.toString() ?? null : value)} />
    ${tasks.error && !rows.length
      ? html`<${Problem} error=${tasks.error} reload=${tasks.reload} />`
      : rows.length
        ? html`<div class=${tasks.loading ? "card list dimmed" : "card list"} aria-busy=${tasks.loading}>
            ${tasks.fresh && html`<button type="button" class="fresh" onClick=${tasks.showFresh}>${t(tasks.fresh.length >= PAGE ? "tasks.fresh_many" : "tasks.fresh", { n: tasks.fresh.length })}</button>`}
            <${Table} label=${t("nav.tasks")} columns=${columns} rows=${rows} id=${(/** @type {any} */ row) => row.id} list=${list} onTop=${setTop}
              onOpen=${(/** @type {any} */ row) => go(`/task/${row.id}`)} />
            <footer class="list-foot"><span class="muted">${t(tasks.next ? "tasks.shown_more" : "tasks.shown", { n: rows.length })}</span>
              ${tasks.next && html`<button type="button" class="button" disabled=${tasks.more} onClick=${tasks.loadMore}>${t("tasks.load_more", { n: PAGE })}</button>`}</footer>
          </div>`
        : tasks.loading
          ? html`<${Loading} rows=${10} />`
          : html`<${Nothing} query=${query} />`}
    ${chosen.size > 0 && html`<${Selection} chosen=${[...chosen].map(one).filter(Boolean)} list=${list} query=${query} change=${change} done=${done} may=${may} />`}`;
}

/** @param {Map<string, any>} reasons */
function columnsOf(reasons) {
  return [
    { key: "status", title: t("tasks.status"), class: "lead", cell: (/** @type {any} */ task) => html`<${Status} name=${taskStatus(task)} />` },
    { key: "type", title: t("task.type"), class: "lead", cell: (/** @type {any} */ task) => html`<span class="clip" title=${task.type}>${task.type}</span>` },
    { key: "id", title: "ID", class: "sub", cell: (/** @type {any} */ task) => html`<a class="mono" href=${to(`/task/${task.id}`)} title=${task.id}>${short(task.id)}</a>` },
    { key: "where", title: t("tasks.where"), class: "sub grow", cell: (/** @type {any} */ task) => html`<${Where} task=${task} reasons=${reasons} />` },
    { key: "tries", title: t("tasks.tries"), num: true, class: "wide-only", cell: (/** @type {any} */ task) => `${number(tries(task))}/${number(task.maxRetries + 1)}` },
    { key: "waited", title: t("tasks.waited"), num: true, class: "wide-only", cell: (/** @type {any} */ task) => html`<${Time} task=${task} what="waited" />` },
    { key: "ran", title: t("tasks.ran"), num: true, class: "wide-only", cell: (/** @type {any} */ task) => html`<${Time} task=${task} what="ran" />` },
    { key: "created", title: t("tasks.created"), num: true, class: "side", cell: (/** @type {any} */ task) => html`<${Ago} at=${task.createdAt} />` },
  ];
}

/** Which try it is or was. @param {any} task */
const tries = (task) => (task.status === "COMPLETED" || task.status === "PROCESSING" ? task.failures + 1 : task.failures);

/** @param {{query: Record<string, string>, narrowed: boolean}} props */
function Tabs({ query, narrowed }) {
  // The stream tells admins alone how many tasks there are; a user's own are asked for.
  const own = useLoad(isAdmin.value || !isUser.value ? null : "/api/overview?window=5m", { every: COUNTS_MS });
  const counts = topics.overview.value?.counts ?? own.data?.counts;
  return html`<nav class="tabs" aria-label=${t("tasks.status")}>${TABS.map((status) => {
    const name = status ? taskStatus({ status }) : "all";
    const count = counts?.[status ? status.toLowerCase() : "total"];
    const { status: _, ...rest } = query;
    return html`<a key=${name} href=${to(withQuery("/tasks", { ...rest, status }))} aria-current=${(query.status ?? "") === status ? "page" : null}>
      ${t(`tasks.tab.${name}`)}${count !== undefined && !narrowed && html` <span class="count">${compact(count)}</span>`}</a>`;
  })}</nav>`;
}

/** @param {{query: Record<string, string>}} props */
function Nothing({ query }) {
  if (Object.values(query).some(Boolean))
    return html`<${Empty} title=${t("tasks.none_match")} text=${t("tasks.none_match_text")}><a class="button" href=${to("/tasks")}>${t("filter.clear")}</a></${Empty}>`;
  return html`<${Empty} title=${t("tasks.none")} text=${t("tasks.none_text")}><a class="button" href=${to("/")}>${t("tasks.first_steps")}</a></${Empty}>`;
}

/** @param {{chosen: any[], list: any, query: Record<string, string>, change: Function, done: () => void, may: boolean}} props */
function Selection({ chosen, list, query, change, done, may }) {
  const retried = chosen.filter((task) => RETRIED.has(task.status)).map((task) => task.id);
  const cancelled = chosen.filter((task) => !ENDED.has(task.status)).map((task) => task.id);
  const all = Object.keys(bulkFilterOf(query)).length > 0;
  return html`<div class="selection" role="region" aria-label=${t("tasks.selected", { n: chosen.length })}>
    <b>${t("tasks.selected", { n: chosen.length })}</b>
    ${may && retried.length > 0 && html`<button type="button" class="button" onClick=${() => change("retry", retried)}>${t("tasks.retry_n", { n: retried.length })}</button>`}
    ${may && cancelled.length > 0 && html`<button type="button" class="button danger" onClick=${() => change("cancel", cancelled)}>${t("tasks.cancel_n", { n: cancelled.length })}</button>`}
    <button type="button" class="button" onClick=${() => copied(chosen.map((task) => task.id).join("\n"), t("tasks.ids", { n: chosen.length }))}>${t("tasks.copy_ids")}</button>
    ${may && all && html`<span class="muted">${t("tasks.or_all")}</span>
      <button type="button" class="link-button" onClick=${() => bulk("retry", { filter: bulkFilterOf(query) }, done)}>${t("tasks.retry_all")}</button>
      <button type="button" class="link-button" onClick=${() => bulk("cancel", { filter: bulkFilterOf(query) }, done)}>${t("tasks.cancel_all")}</button>`}
    <button type="button" class="button quiet" onClick=${() => list.select([])}>${t("tasks.clear")}</button>
  </div>`;
}
