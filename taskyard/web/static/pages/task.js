/** One task: how it stands in a sentence, its attempts on a line of time, what went in and came out. */

import { at, get } from "../core/api.js";
import { duration, moment, number, when } from "../core/format.js";
import { has, language, t } from "../core/i18n.js";
import { member } from "../core/json.js";
import { now, want } from "../core/live.js";
import { isUser } from "../core/session.js";
import { go, to } from "../nav.js";
import { Actions } from "../parts/act.js";
import { Do } from "../parts/button.js";
import { Copy, copied } from "../parts/copy.js";
import { taskDialog } from "../parts/later.js";
import { trail, useKeys } from "../parts/list.js";
import { Shown, useLoad } from "../parts/load.js";
import { download, Json, SHOWN_BYTES, size } from "../parts/payload.js";
import { single } from "../parts/single.js";
import { Status, taskStatus } from "../parts/status.js";
import { Timeline } from "../parts/timeline.js";
import { Title } from "../parts/title.js";
import { failed } from "../parts/toast.js";
import { Funnel, LeftOut } from "../parts/why.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";

const WHY_MS = 2000;
const RETRIED = new Set(["FAILED", "TIMEOUT", "CANCELLED"]);
const ENDED = new Set(["COMPLETED", ...RETRIED]);

/** A server's page. @param {string} id */
const serverPath = (id) => to(`/servers/${encodeURIComponent(id)}`);

/** How an ended or running task stands, in a sentence. @param {any} task @param {number} at */
function sentence(task, at) {
  const failures = task.history.filter((/** @type {any} */ one) => one.outcome === "failed").length;
  const timeouts = task.history.filter((/** @type {any} */ one) => one.outcome === "timeout").length;
  const params = {
    took: (task.completedAt ?? at) - task.createdAt, ran: at - (task.startedAt ?? at), server: task.serverId ?? "–", error: task.error ?? "",
    n: task.failures + 1, of: task.maxRetries + 1, left: Math.max(0, (task.startedAt ?? at) + task.timeout - at),
  };
  if (task.status === "PROCESSING") return t(task.progress === null ? "task.says.running" : "task.says.progress", { ...params, progress: task.progress / 100, message: task.message ?? "" });
  if (task.status === "COMPLETED") return t(failures + timeouts ? "task.says.completed_after" : "task.says.completed", { ...params, failures, timeouts });
  const key = `task.says.${taskStatus(task)}${task.serverId ? "" : "_unserved"}`;
  return t(has(key) ? key : `task.says.${taskStatus(task)}`, { ...params, n: task.failures });
}

/** @param {{params: Record<string, string>}} props */
export default function TaskPage({ params }) {
  const { id } = params;
  const loaded = useLoad(`/api/task/${encodeURIComponent(id)}`);
  const reload = useRef(loaded.reload);
  reload.current = loaded.reload;
  const status = loaded.data?.status;
  useEffect(() => (ENDED.has(status) ? undefined : want([], { tasks: [id], onTask: () => void reload.current() })), [id, ENDED.has(status)]);
  const task = loaded.data;
  const may = isUser.value && task;
  const { ids } = trail.value;
  const place = ids.indexOf(id);
  const beside = (/** @type {number} */ by) => (place >= 0 && ids[place + by] ? go(`/task/${ids[place + by]}`) : false);
  const done = () => void loaded.reload();
  useKeys({
    "[": () => beside(-1),
    "]": () => beside(1),
    r: () => (may && (RETRIED.has(status) || status === "PENDING") ? void single("retry", id, done) : false),
    c: () => (may && !ENDED.has(status) ? void single("cancel", id, done) : false),
    e: () => (may ? void taskDialog(id, { go }).catch(failed) : false),
    y: () => void copied(id, t("task.id")),
    Escape: () => go(trail.value.back || "/tasks"),
  });
  return html`<${Title} name=${t("task.title")} live=${task && !ENDED.has(status)}>
      ${place >= 0 && html`<span class="muted">${t("task.place", { n: place + 1, of: ids.length })}</span>
        <div class="segments"><button type="button" disabled=${place === 0} aria-label=${t("task.previous")} onClick=${() => beside(-1)}>‹</button>
        <button type="button" disabled=${place === ids.length - 1} aria-label=${t("task.next")} onClick=${() => beside(1)}>›</button></div>`}
      ${may && (RETRIED.has(status) ? html`<${Do} kind="primary" onClick=${() => single("retry", id, done)}>${t("task.retry")}</${Do}>` : null)}
      ${may && html`<${Do} onClick=${() => taskDialog(id, { go }).catch(failed)}>${t("task.edit")}</${Do}>`}
      ${may && !ENDED.has(status) && html`<${Do} kind="danger" onClick=${() => single("cancel", id, done)}>${t("task.cancel")}</${Do}>`}
    </${Title}>
    <${Shown} loaded=${loaded} missing=${{ title: t("task.missing", { id }), text: t("task.missing_text") }}>
      ${(/** @type {any} */ shown) => html`<${Whole} task=${shown} raw=${loaded.raw} done=${done} />`}
    </${Shown}>`;
}

/** @param {{task: any, raw: string, done: () => void}} props */
function Whole({ task, raw, done }) {
  const waits = task.status === "PENDING";
  const why = useLoad(waits ? `/api/task/${encodeURIComponent(task.id)}/why?lang=${language.value}` : null, { every: WHY_MS });
  useEffect(() => {
    // It may have begun or ended since: why is asked of a task that waits.
    if (why.error?.status === 409) done();
  }, [why.error]);
  const reason = waits ? why.data : null;
  const name = taskStatus(task);
  return html`<section class="card facts" aria-label=${task.id}>
      <div class="headline">
        <span role="status"><${Status} name=${name} /></span><code class="id">${task.id}</code><${Copy} text=${task.id} what=${t("task.id")} />
        <span class="chip">${task.type}</span>
        <span class="muted">${t("task.of", { priority: task.priority, owner: task.owner })}</span>
      </div>
      ${waits ? html`<${Waits} task=${task} reason=${reason} done=${done} />` : html`<p class=${`verdict s-${name}`}>${sentence(task, now.value)}</p>`}
      ${task.progress !== null && task.status === "PROCESSING" && html`<progress max="100" value=${task.progress} aria-label=${t("task.progress")}></progress>`}
      <${Links} task=${task} />
    </section>
    <section class="card"><header><h2>${t("timeline.title")}</h2></header>
      <${Timeline} task=${task} now=${now.value} waits=${reason?.text} link=${serverPath} /></section>
    <section class="card folds">
      <${Fold} name=${t("task.payload")} load=${() => payload(task.id)} file=${`${task.id}-payload.json`} />
      ${task.status === "COMPLETED" && html`<${Fold} name=${t("task.result")} text=${member(raw, "result")} file=${`${task.id}-result.json`} open />`}
      ${task.errorDetails !== null && html`<${Fold} name=${t("task.error_details")} text=${member(raw, "errorDetails")} file=${`${task.id}-error.json`} open />`}
      ${task.metadata !== null && html`<${Fold} name=${t("task.metadata")} text=${member(raw, "metadata")} file=${`${task.id}-metadata.json`} />`}
      <${Details} task=${task} />
      <${Curl} id=${task.id} />
      <${Fold} name=${t("task.raw")} text=${raw} file=${`${task.id}.json`} />
    </section>`;
}

/** Why it waits, and what would change that. @param {{task: any, reason: any, done: () => void}} props */
function Waits({ task, reason, done }) {
  const since = Math.max(0, now.value - task.createdAt);
  if (!reason) return html`<p class="verdict s-waiting">${t("task.waiting", { span: since })}</p>`;
  return html`<p class="verdict s-waiting"><b>${t("task.waiting", { span: since })}</b>${t("parts.gap")}${reason.text}</p>
    ${reason.also?.length > 0 && html`<p class="muted">${t("task.also", { what: reason.also.map((/** @type {any} */ one) => t(`why.brief_name.${one.code}`)).join(t("parts.joint")) })}</p>`}
    ${reason.position !== null && html`<p class="muted">${t("task.position", { n: reason.position })}${reason.estimate ? `${t("parts.gap")}${t("task.estimate", { p50: reason.estimate.p50, p90: reason.estimate.p90 })}` : ""}</p>`}
    ${reason.wouldStart && html`<p class="would">${reason.wouldStart.text}</p>`}
    <${Funnel} steps=${reason.funnel} words />
    <${LeftOut} steps=${reason.funnel} link=${serverPath} />
    <${Actions} actions=${reason.actions} then=${done} />`;
}

/** The tasks that this one repeats, and that repeat it. @param {{task: any}} props */
function Links({ task }) {
  if (!task.resubmitOf && !task.resubmittedAs) return null;
  return html`<p class="muted">
    ${task.resubmitOf && html`${t("task.repeats")} <a class="mono" href=${to(`/task/${task.resubmitOf}`)}>${task.resubmitOf}</a> `}
    ${task.resubmittedAs && html`${t("task.repeated")} <a class="mono" href=${to(`/task/${task.resubmittedAs}`)}>${task.resubmittedAs}</a>`}
  </p>`;
}

/** @param {string} id @returns {Promise<string | null>} the payload's text; `null` when it was erased */
async function payload(id) {
  const { data, raw } = await get(`/api/task/${encodeURIComponent(id)}?include=payload`);
  return data.payload === null ? null : member(raw, "payload");
}

/**
 * A text that unfolds; `load` brings it when it does.
 * @param {{name: string, text?: string | null, load?: () => Promise<string | null>, file: string, open?: boolean}} props
 */
function Fold({ name, text, load, file, open }) {
  const [loaded, setLoaded] = useState(/** @type {{text: string | null} | null} */ (null));
  const shown = load ? loaded?.text : text;
  const unfold = (/** @type {Event} */ event) => {
    if (load && !loaded && /** @type {HTMLDetailsElement} */ (event.target).open) load().then((found) => setLoaded({ text: found }), failed);
  };
  return html`<details class="fold-part" open=${open} onToggle=${unfold}>
    <summary><b>${name}</b>${typeof shown === "string" && html` <span class="muted">${size(shown)}</span>`}</summary>
    ${typeof shown === "string" && html`<div class="fold-actions"><${Copy} text=${shown} what=${name} />
      <button type="button" class="link-button" onClick=${() => download(shown, file)}>${t("task.download")}</button></div>
      ${shown.length > SHOWN_BYTES ? html`<p class="muted">${t("task.too_long", { size: size(shown) })}</p>` : html`<${Json} text=${shown} label=${name} />`}`}
    ${shown === null && html`<p class="muted">${t("task.purged")}</p>`}
  </details>`;
}

/** @param {{task: any}} props */
function Details({ task }) {
  const time = (/** @type {number | null} */ at) => (at === null ? "–" : when(at, now.value));
  const facts = [
    [t("task.capabilities"), task.capabilities.length ? html`<span class="chips">${task.capabilities.map((/** @type {string} */ word) => html`<span key=${word} class="chip">${word}</span>`)}</span>` : "–"],
    [t("task.group"), task.group ?? "–"],
    [t("task.tags"), task.tags.length ? html`<span class="chips">${task.tags.map((/** @type {string} */ tag) => html`<a key=${tag} class="chip" href=${to(`/tasks?tag=${encodeURIComponent(tag)}`)}>${tag}</a>`)}</span>` : "–"],
    [t("tasks.tries"), t("task.tries", { n: task.failures, of: task.maxRetries + 1 })],
    [t("task.timeout"), duration(task.timeout)],
    [t("tasks.created"), html`<span title=${moment(task.createdAt)}>${time(task.createdAt)}</span>`],
    [t("task.started"), time(task.startedAt)],
    [t("task.ended"), time(task.completedAt)],
    ...(task.deadline === null ? [] : [[t("task.deadline"), time(task.deadline)]]),
    ...(task.errorCode === null ? [] : [[t("task.error_code"), task.errorCode]]),
  ];
  return html`<details class="fold-part"><summary><b>${t("task.details")}</b></summary>
    <dl class="facts-list">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></details>`;
}

/** The call that shows this task, for a terminal. @param {{id: string}} props */
function Curl({ id }) {
  const command = `curl -H "Authorization: Bearer $TOKEN" ${new URL(at(`/api/task/${id}`), location.href)}`;
  return html`<details class="fold-part"><summary><b>${t("task.curl")}</b></summary>
    <div class="command"><code>${command}</code><${Copy} text=${command} what=${t("task.curl")} /></div></details>`;
}
