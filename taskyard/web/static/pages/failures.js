/** Failures: what went wrong in groups of the same kind, where, and what to do about each. */

import { get } from "../core/api.js";
import { compact, duration, moment, number, span } from "../core/format.js";
import { t } from "../core/i18n.js";
import { now } from "../core/live.js";
import { isAdmin, isUser } from "../core/session.js";
import { go, setQuery, to } from "../nav.js";
import { bulk } from "../parts/bulk.js";
import { Do } from "../parts/button.js";
import { Empty } from "../parts/empty.js";
import { keyDialog, maintain, taskDialog } from "../parts/later.js";
import { listKeys, useKeys, useList } from "../parts/list.js";
import { Shown, useLoad } from "../parts/load.js";
import { Shape } from "../parts/status.js";
import { Trend } from "../parts/strip.js";
import { Title, windowOf } from "../parts/title.js";
import { failed } from "../parts/toast.js";
import { html, useEffect, useRef } from "../vendor/preact.js";

const EVERY_MS = 5000;

/** @param {{query: Record<string, string>}} props */
export default function Failures({ query }) {
  const window = windowOf(query, "1h");
  const loaded = useLoad(`/api/failures?window=${window}`, { every: EVERY_MS });
  const groups = loaded.data?.groups ?? [];
  const list = useList(() => groups.map((/** @type {any} */ group) => group.id));
  const current = () => groups.find((/** @type {any} */ group) => group.id === list.cursor.value);
  const retry = (/** @type {any} */ group) => bulk("retry", { group: group.id }, loaded.reload);
  useKeys({
    ...listKeys(list),
    x: () => false,
    Enter: () => {
      if (!current() || document.activeElement?.closest("a, button")) return false;
      setQuery({ group: query.group === current().id ? null : current().id });
    },
    r: () => (isUser.value && current() ? void retry(current()) : false),
    e: () => (isUser.value && current()?.samples.length ? void taskDialog(current().samples[0], { go }).catch(failed) : false),
    Escape: () => (query.group ? setQuery({ group: null }) : false),
  });
  return html`<${Title} name=${t("nav.failures")} live count=${loaded.data?.count} window=${window} />
    <${Shown} loaded=${loaded}>${(/** @type {any} */ data) =>
      groups.length
        ? html`<p class="sentence">${t(`failures.says.${data.window}`, { n: data.count, groups: t("failures.groups", { n: groups.length + data.more }), attempts: t("failures.attempts", { n: data.attempts }) })}</p>
          <ul class="groups">${groups.map((/** @type {any} */ group) => html`<${Group} key=${group.id} group=${group} step=${data.step} open=${query.group === group.id}
            cursor=${list.cursor.value === group.id} retry=${() => retry(group)} done=${loaded.reload} />`)}</ul>
          ${data.more > 0 && html`<p class="muted">${t("failures.more", { n: data.more })}</p>`}`
        : html`<${Empty} title=${t(`failures.none.${data.window}`)} text=${data.lastAt ? t("failures.last", { at: moment(data.lastAt) }) : t("failures.never")}>
            ${data.lastAt && data.window !== "24h" && html`<button type="button" class="button" onClick=${() => setQuery({ window: "24h" })}>${t("failures.look_further")}</button>`}
            <a class="button" href=${to("/tasks?status=FAILED")}>${t("failures.all_failed")}</a></${Empty}>`}
    </${Shown}>`;
}

/** The attempts that went wrong on the group's servers. @param {any} group */
const attempts = (group) => group.servers.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.count, 0);

/** Where it happened: "gpu-7 31/31", "3 servers". @param {any} group */
function where(group) {
  if (group.serverCount === 0) return "–";
  if (group.serverCount === 1) return `${group.servers[0].id} ${number(group.servers[0].count)}/${number(attempts(group))}`;
  return t("failures.servers", { n: group.serverCount });
}

/** What it says; the status that stands beside it is not said twice. @param {any} group */
const nameOf = (group) => group.error.replace(/^HTTP …: /, "") || t(`outcome.${group.outcome}`);

/** @param {{group: any, step: number, open: boolean, cursor: boolean, retry: () => void, done: () => void}} props */
function Group({ group, step, open, cursor, retry, done }) {
  /** @type {import("../vendor/preact.js").RefObject<HTMLLIElement>} */
  const box = useRef(null);
  useEffect(() => {
    if (cursor) box.current?.querySelector("button")?.focus();
  }, [cursor]);
  const shape = group.outcome === "timeout" || group.outcome === "misconfigured" || group.outcome === "lost" ? group.outcome : "failed";
  return html`<li ref=${box} class=${cursor ? "card group cursor" : "card group"}>
    <div class="group-head">
      <${Shape} name=${shape} label=${t(`outcome.${group.outcome}`)} />
      <button type="button" class="group-name" aria-expanded=${open} onClick=${() => setQuery({ group: open ? null : group.id })}>${nameOf(group)}</button>
      <span class="kind s-${shape}">${t(`outcome.${group.outcome}`)}${group.httpStatus ? ` ${group.httpStatus}` : ""}${group.errorCode ? ` ${group.errorCode}` : ""}</span>
      <span class="chip">${group.type}</span>
      ${group.count > 0
        ? html`<b class="count-of" title=${t("failures.count_title", { n: group.count })}>${compact(group.count)}</b>`
        : html`<span class="count-of muted">${t("failures.attempts", { n: group.attempts })}</span>`}
      <${Trend} values=${group.trend} kind=${shape} label=${t("failures.trend", { most: Math.max(...group.trend), step })} />
      <span class="where">${where(group)}</span>
      <span class="muted last">${t("parts.ago", { span: span(now.value - group.lastAt) })}</span>
    </div>
    <div class="advice"><span>→ ${t(`advice.${group.advice.code}`, adviceParams(group))}</span>
      <div class="actions"><${Advised} group=${group} done=${done} />
        ${isUser.value && group.count > 0 && html`<${Do} onClick=${retry}>${t("failures.retry", { n: group.count })}</${Do}>`}
        ${group.count > 0 && html`<a class="button" href=${to(`/tasks?failure=${encodeURIComponent(group.id)}`)}>${t("failures.open", { n: group.count })}</a>`}</div>
    </div>
    ${open && html`<div class="group-more">
      <div><h2>${t("failures.where")}</h2><ul>${group.servers.map((/** @type {any} */ one) => html`<li key=${one.id}><a href=${to(`/servers/${encodeURIComponent(one.id)}`)}>${one.id}</a> <span class="muted">${number(one.count)}/${number(attempts(group))}</span></li>`)}
        ${group.serverCount > group.servers.length && html`<li class="muted">${t("failures.more_servers", { n: group.serverCount - group.servers.length })}</li>`}</ul></div>
      <div><h2>${t("failures.samples")}</h2><ul>${group.samples.map((/** @type {string} */ id) => html`<li key=${id}><a class="mono" href=${to(`/task/${id}`)}>${id}</a></li>`)}</ul></div>
      <div><h2>${t("failures.when")}</h2><p>${t("failures.between", { first: moment(group.firstAt), last: moment(group.lastAt) })}</p></div>
    </div>`}
  </li>`;
}

/** The advice's figures in words. @param {any} group */
function adviceParams(group) {
  const { params } = group.advice;
  const written = Object.fromEntries(Object.entries(params).map(([name, value]) => [name, value]));
  for (const name of ["p95", "timeout", "limit"]) if (typeof params[name] === "number") written[name] = duration(params[name]);
  return { type: group.type, n: group.attempts, server: group.servers[0]?.id ?? "–", ...written };
}

/** The button that does what the advice says. @param {{group: any, done: () => void}} props */
function Advised({ group, done }) {
  const server = group.advice.params.server ?? group.servers[0]?.id;
  const path = `/api/servers/${encodeURIComponent(server ?? "")}`;
  switch (group.advice.code) {
    case "one_server":
      return isAdmin.value && server ? html`<${Do} onClick=${() => get(path).then(({ data }) => maintain(data, path, done), failed)}>${t("server.maintain")}</${Do}>` : null;
    case "fix_key":
      return isAdmin.value && server ? html`<${Do} onClick=${() => keyDialog(server, done)}>${t("server.fix_key")}</${Do}>` : null;
    case "fix_task":
    case "raise_timeout":
      return isUser.value && group.samples.length
        ? html`<${Do} onClick=${() => taskDialog(group.samples[0], { go }).catch(failed)}>${t("task.edit")}</${Do}>`
        : null;
    case "lost":
      return html`<a class="button" href=${to("/system")}>${t("nav.system")}</a>`;
    default:
      return group.samples.length ? html`<a class="button" href=${to(`/task/${group.samples[0]}`)}>${t("failures.open_one")}</a>` : null;
  }
}
