/** One server: whether it is well and since when, what it does, and what an admin can do with it. */

import { del, get, post } from "../core/api.js";
import { compact, duration, moment, number, percent, when } from "../core/format.js";
import { t } from "../core/i18n.js";
import { now } from "../core/live.js";
import { isAdmin } from "../core/session.js";
import { go, to } from "../nav.js";
import { checkNow } from "../parts/act.js";
import { Do } from "../parts/button.js";
import { Copy, copied } from "../parts/copy.js";
import { ask, FormDialog, open } from "../parts/dialog.js";
import { Field } from "../parts/form.js";
import { keyDialog, serverDialog } from "../parts/later.js";
import { Lines } from "../parts/lines.js";
import { useKeys } from "../parts/list.js";
import { Shown, useLoad } from "../parts/load.js";
import { Status, serverStatus } from "../parts/status.js";
import { Strip } from "../parts/strip.js";
import { Title, windowOf } from "../parts/title.js";
import { failed, toast } from "../parts/toast.js";
import { html, useState } from "../vendor/preact.js";
import { Load } from "./servers.js";

const EVERY_MS = 3000;
const HISTORY_MS = 30_000;
const CHANGES_SHOWN = 8;

/** @param {{params: Record<string, string>, query: Record<string, string>}} props */
export default function ServerPage({ params, query }) {
  const path = `/api/servers/${encodeURIComponent(params.id)}`;
  const window = windowOf(query, "24h");
  const loaded = useLoad(path, { every: EVERY_MS });
  const history = useLoad(`${path}/history?window=${window}`, { every: HISTORY_MS });
  const done = () => {
    void loaded.reload();
    void history.reload();
  };
  useKeys({ y: () => void copied(params.id, t("server.id")), Escape: () => go("/servers") });
  return html`<${Title} name=${loaded.data?.name ?? params.id} live window=${window}>
      ${isAdmin.value && loaded.data && html`<${Changes} server=${loaded.data} path=${path} done=${done} />`}
    </${Title}>
    <${Shown} loaded=${loaded} missing=${{ title: t("server.missing", { id: params.id }), text: t("server.missing_text") }}>
      ${(/** @type {any} */ server) => html`<${Whole} server=${server} history=${history.data} />`}
    </${Shown}>`;
}

/** What an admin can do with it. @param {{server: any, path: string, done: () => void}} props */
function Changes({ server, path, done }) {
  const kept = server.status === "maintenance";
  const end = async () => {
    await post(`${path}/maintenance`, { maintenance: false });
    toast({ text: t("server.maintenance_ended", { server: server.name }) });
    done();
  };
  return html`<${Do} onClick=${() => checkNow(server.id, done).catch(failed)}>${t("server.check")}</${Do}>
    ${kept ? html`<${Do} onClick=${() => end().catch(failed)}>${t("server.end_maintenance")}</${Do}>` : html`<${Do} onClick=${() => maintain(server, path, done)}>${t("server.maintain")}</${Do}>`}
    <${Do} onClick=${() => get(path).then(({ data }) => serverDialog({ server: data, then: done }), failed)}>${t("server.edit")}</${Do}>
    ${server.misconfigured && html`<${Do} onClick=${() => keyDialog(server.id, done)}>${t("server.fix_key")}</${Do}>`}
    <${Do} kind="danger" onClick=${() => remove(server, path)}>${t("server.remove")}</${Do}>`;
}

/** @param {any} server @param {string} path @param {() => void} done */
export function maintain(server, path, done) {
  open((close) => html`<${MaintainForm} server=${server} path=${path} done=${done} close=${close} />`);
}

/** @param {{server: any, path: string, done: () => void, close: () => void}} props */
function MaintainForm({ server, path, done, close }) {
  const [reason, setReason] = useState("");
  const back = () => post(`${path}/maintenance`, { maintenance: false }).then(done, failed);
  return html`<${FormDialog} title=${t("server.maintain_title", { server: server.name })} action=${t("server.maintain_do")} onClose=${close}
    onSubmit=${async () => {
      await post(`${path}/maintenance`, { maintenance: true, reason: reason.trim() || null });
      close();
      toast({ text: t("server.maintained", { server: server.name }), action: { label: t("parts.undo"), run: back } });
      done();
    }}>
    <p>${t(server.activeTasks ? "server.maintain_text" : "server.maintain_idle", { n: server.activeTasks })}</p>
    <${Field} label=${t("server.reason")} value=${reason} onInput=${setReason} placeholder=${t("server.reason_example")} hint=${t("server.reason_hint")} autofocus />
  </${FormDialog}>`;
}

/** @param {any} server @param {string} path */
function remove(server, path) {
  ask({
    title: t("server.remove_title", { server: server.name }),
    text: html`<p>${t(server.activeTasks ? "server.remove_text" : "server.remove_idle", { n: server.activeTasks })}</p><p class="muted">${t("server.remove_note")}</p>`,
    action: t("server.remove_do"),
    danger: true,
    run: async () => {
      await del(path);
      toast({ text: t("server.removed", { server: server.name }) });
      go("/servers");
    },
  });
}

/** How it stands, in a sentence. @param {any} server @param {any} history @param {number} at */
function sentence(server, history, at) {
  const state = serverStatus(server);
  const since = history?.since ? t("server.since", { at: when(history.since, at) }) : "";
  const n = server.activeTasks;
  const words = {
    misconfigured: () => t("server.says.misconfigured"),
    maintenance: () => t(server.maintenanceReason ? "server.says.maintenance_for" : "server.says.maintenance", { n, reason: server.maintenanceReason }),
    draining: () => t("server.says.draining", { n }),
    offline: () => t("server.says.offline", { error: history?.changes?.[0]?.reason ?? t("server.no_word") }),
    degraded: () => t("server.says.degraded", { n: server.health.consecutiveFailures }),
    initializing: () => t("server.says.initializing"),
  }[state];
  const paused = server.pausedUntil && server.pausedUntil > at ? t("server.says.paused", { span: server.pausedUntil - at }) : "";
  const stands = words ? words() : t(n >= server.maxConcurrent ? "server.says.full" : "server.says.online", { n, of: server.maxConcurrent });
  return [stands, paused, since].filter(Boolean).join(t("parts.gap"));
}

/** @param {{server: any, history: any}} props */
function Whole({ server, history }) {
  const state = serverStatus(server);
  return html`<section class="card facts" aria-label=${server.id}>
      <div class="headline"><span role="status"><${Status} name=${state} /></span><code class="id">${server.id}</code><${Copy} text=${server.id} what=${t("server.id")} /><${Load} server=${server} />
        <a href=${to(`/tasks?status=PROCESSING&server=${encodeURIComponent(server.id)}`)}>${t("server.running", { n: server.activeTasks })}</a></div>
      <p class=${`verdict s-${state}`}>${sentence(server, history, now.value)}</p>
      ${history && html`<div class="health"><${Strip} strip=${history.strip} step=${history.stripStep} wide /><span class="muted">${t(`server.last.${history.window}`)}</span></div>`}
      <${Facts} server=${server} />
    </section>
    ${history && html`<div class="columns">
      <${Series} series=${history.series} />
      <section class="card"><header><h2>${t("server.changes")}</h2></header><${Past} changes=${history.changes} /></section>
      <section class="card"><header><h2>${t("server.outcomes")}</h2></header><${Outcomes} outcomes=${history.outcomes} server=${server.id} /></section>
      <section class="card"><header><h2>${t("server.share")}</h2></header><${Share} share=${history.share} /></section>
    </div>`}`;
}

/** @param {{server: any}} props */
function Facts({ server }) {
  const words = (/** @type {string[]} */ all) => (all.length ? html`<span class="chips">${all.map((word) => html`<span key=${word} class="chip">${word}</span>`)}</span>` : "–");
  const facts = [
    [t("server.capabilities"), words(server.capabilities)],
    [t("server.groups"), words(server.groups)],
    [t("server.weight"), server.priority === 0 ? t("server.standby") : number(server.priority)],
    [t("server.score"), number(server.health.score)],
    [t("server.last_check"), server.health.lastCheck === null ? "–" : when(server.health.lastCheck, now.value)],
    [t("server.heartbeat"), when(server.lastHeartbeat, now.value)],
    [t("server.registered"), moment(server.registeredAt)],
    ...(server.endpoints ? Object.entries(server.endpoints).filter(([, url]) => url).map(([name, url]) => [t(`server.${name}_url`), html`<code>${url}</code>`]) : []),
  ];
  return html`<dl class="facts-list">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @param {{changes: {at: number, status: string, reason: string | null}[]}} props */
function Past({ changes }) {
  if (!changes.length) return html`<p class="card-body muted">${t("server.no_changes")}</p>`;
  return html`<ul class="past">${changes.slice(0, CHANGES_SHOWN).map(
    (change) => html`<li key=${change.at}><time title=${moment(change.at)}>${when(change.at, now.value)}</time><${Status} name=${change.status} /><span class="muted">${change.reason ?? ""}</span></li>`,
  )}</ul>`;
}

/** @param {{series: any}} props */
function Series({ series }) {
  return html`<${Lines} title=${t("server.load_chart")} t=${series.t} lines=${[{ key: "load", name: t("servers.load"), kind: "running", values: series.load, told: percent, most: 1 }]} />
    <${Lines} title=${t("server.response_chart")} t=${series.t} lines=${[
      { key: "response", name: t("server.response"), kind: "waiting", values: series.responseMs, told: duration },
      { key: "run", name: t("server.run"), kind: "completed", values: series.runMs, told: duration },
    ]} />`;
}

/** @param {{outcomes: any[], server: string}} props */
function Outcomes({ outcomes, server }) {
  if (!outcomes.length) return html`<p class="card-body muted">${t("server.no_outcomes")}</p>`;
  const kinds = /** @type {const} */ (["completed", "failed", "timeout", "other"]);
  return html`<div class="scroll"><table class="data"><thead><tr><th scope="col">${t("task.type")}</th>${kinds.map((kind) => html`<th key=${kind} scope="col" class="num">${t(`outcome.${kind}`)}</th>`)}</tr></thead>
    <tbody>${outcomes.map((one) => html`<tr key=${one.type}><th scope="row"><a href=${to(`/tasks?type=${encodeURIComponent(one.type)}&server=${encodeURIComponent(server)}`)}>${one.type}</a></th>
      ${kinds.map((kind) => html`<td key=${kind} class=${one[kind] && kind !== "completed" && kind !== "other" ? `num s-${kind}` : "num"}>${compact(one[kind])}</td>`)}</tr>`)}</tbody></table></div>`;
}

/** @param {{share: any}} props */
function Share({ share }) {
  if (!share.picks && share.expected === null) return html`<p class="card-body muted">${t("server.no_picks")}</p>`;
  return html`<div class="card-body">
    <p>${t("server.picks", { n: share.picks, of: share.allPicks })}</p>
    ${[["real", share.share], ["expected", share.expected]].map(([name, value]) => value !== null && html`<div key=${name} class="share"><span>${t(`server.share_${name}`)}</span><progress max="1" value=${value} aria-hidden="true"></progress><span class="num">${percent(value)}</span></div>`)}
  </div>`;
}
