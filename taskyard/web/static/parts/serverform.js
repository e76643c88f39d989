/**
 * The form of a server: registers one and shows its first check in words, changes one, gives one a new key.
 */

import { at, get, patch, post } from "../core/api.js";
import { t } from "../core/i18n.js";
import { html, useEffect, useState } from "../vendor/preact.js";
import { Dialog, FormDialog, open } from "./dialog.js";
import { Check, Field, Words } from "./form.js";
import { Shape } from "./status.js";
import { failed, toast } from "./toast.js";

/** The text members of the form and how they lie in a registration. */
const ENDPOINTS = /** @type {const} */ (["predict", "health", "cancel", "metrics"]);

/** @param {any} server a registration, a server as the API shows it, or nothing @returns {any} */
function filled(server) {
  const urls = Object.fromEntries(ENDPOINTS.map((name) => [name, server?.endpoints?.[name] ?? ""]));
  return {
    ...urls, id: server?.id ?? "", name: server?.name ?? "", apiKey: "", capabilities: server?.capabilities ?? [], groups: server?.groups ?? [],
    maxConcurrent: String(server?.maxConcurrent ?? 10), priority: String(server?.priority ?? 1), async: Boolean(server?.async),
  };
}

/** What the form says as a body of the API. @param {any} form @param {boolean} fresh */
function body(form, fresh) {
  const endpoints = Object.fromEntries(ENDPOINTS.map((name) => [name, form[name].trim() || null]));
  return {
    ...(fresh && form.id.trim() ? { id: form.id.trim() } : {}),
    name: form.name.trim(), endpoints, capabilities: form.capabilities, groups: form.groups,
    ...(form.apiKey ? { apiKey: form.apiKey } : {}),
    maxConcurrent: Number(form.maxConcurrent), priority: Number(form.priority), async: form.async,
  };
}

/** Capabilities that tasks wait for and no server has, with how many wait. */
function useWanted() {
  const [wanted, setWanted] = useState(/** @type {{word: string, why: string}[]} */ ([]));
  useEffect(() => {
    get("/api/lanes").then(({ data }) => {
      /** @type {Map<string, number>} */
      const by = new Map();
      for (const lane of data.lanes) for (const word of lane.params.missing ?? []) by.set(word, (by.get(word) ?? 0) + lane.queued);
      setWanted([...by].map(([word, n]) => ({ word, why: t("server.wanted", { n }) })));
    }, () => {});
  }, []);
  return wanted;
}

/** @param {{server?: any, preset?: any, then?: (id: string) => void, close: () => void}} props */
function ServerForm({ server, preset, then, close }) {
  const [form, setForm] = useState(() => filled(server ?? preset));
  const [first, setFirst] = useState(/** @type {any} */ (null));
  const wanted = useWanted();
  const set = (/** @type {string} */ name) => (/** @type {any} */ value) => setForm((/** @type {any} */ now) => ({ ...now, [name]: value }));
  // A health URL beside the predict URL is what nearly everybody has.
  const predict = (/** @type {string} */ url) =>
    setForm((/** @type {any} */ now) => ({ ...now, predict: url, health: now.health === beside(now.predict) ? beside(url) : now.health }));
  const submit = async () => {
    if (server) {
      await patch(`/api/servers/${encodeURIComponent(server.id)}`, body(form, false));
      toast({ text: t("server.changed", { server: server.name }) });
      then?.(server.id);
      return close();
    }
    const { data } = await post("/api/servers", body(form, true));
    then?.(data.serverId);
    setFirst({ id: data.serverId, ...(await post(`/api/servers/${encodeURIComponent(data.serverId)}/check`)).data });
  };
  if (first) return html`<${First} first=${first} name=${form.name} close=${close} again=${() => setFirst(null)} />`;
  return html`<${FormDialog} wide title=${server ? t("server.edit_title", { server: server.name }) : t("server.add_title")}
    action=${t(server ? "server.save" : "server.add_do")} onSubmit=${submit} onClose=${close}>
    <div class="fields">
      <${Field} label=${t("server.name")} value=${form.name} onInput=${set("name")} required autofocus />
      <${Field} label=${t("server.predict_url")} value=${form.predict} onInput=${predict} required mono placeholder="http://gpu-1:9000/predict" hint=${t("server.predict_hint")} />
      <${Field} label=${t("server.health_url")} value=${form.health} onInput=${set("health")} required mono placeholder="http://gpu-1:9000/health" />
      <${Field} label=${t("server.key")} value=${form.apiKey} onInput=${set("apiKey")} type="password" hint=${t(server ? "server.key_kept" : "server.key_hint")} />
      <${Words} label=${t("server.capabilities")} words=${form.capabilities} onChange=${set("capabilities")} suggested=${wanted} />
      <div class="pair">
        <${Field} label=${t("server.slots")} value=${form.maxConcurrent} onInput=${set("maxConcurrent")} type="number" min=${1} max=${10000} required hint=${t("server.slots_hint")} />
        <${Field} label=${t("server.weight")} value=${form.priority} onInput=${set("priority")} type="number" min=${0} max=${10} required hint=${t("server.weight_hint")} />
      </div>
      <details><summary>${t("server.more")}</summary>
        <${Words} label=${t("server.groups")} words=${form.groups} onChange=${set("groups")} />
        <${Field} label=${t("server.cancel_url")} value=${form.cancel} onInput=${set("cancel")} mono hint=${t("server.cancel_hint")} />
        <${Field} label=${t("server.metrics_url")} value=${form.metrics} onInput=${set("metrics")} mono />
        ${!server && html`<${Field} label=${t("server.id")} value=${form.id} onInput=${set("id")} mono hint=${t("server.id_hint")} />`}
        <${Check} label=${t("server.async")} checked=${form.async} onChange=${set("async")} hint=${t("server.async_hint")} />
      </details>
    </div>
  </${FormDialog}>`;
}

/** @param {string} predict */
function beside(predict) {
  const cut = predict.lastIndexOf("/");
  return cut > "https://".length ? `${predict.slice(0, cut)}/health` : "";
}

/** How the first check went. @param {{first: any, name: string, close: () => void, again: () => void}} props */
function First({ first, name, close, again }) {
  return html`<${Dialog} title=${t("server.added", { server: name })} onClose=${close}>
    <div class="dialog-content"><p class=${`verdict s-${first.passed ? "completed" : "failed"}`} role="status"><${Shape} name=${first.passed ? "completed" : "failed"} />
      <span>${first.passed ? t(first.status === "offline" ? "server.first_offline" : "server.first_passed") : t("server.first_failed", { error: first.error ?? t("server.no_word") })}</span></p>
    ${!first.passed && html`<p class="muted">${t("server.first_next")}</p>`}</div>
    <footer>
      ${!first.passed && html`<button type="button" class="button" onClick=${again}>${t("server.again")}</button>`}
      <a class="button" href=${at(`/servers/${encodeURIComponent(first.id)}`)} onClick=${close}>${t("server.open")}</a>
      <button type="button" class="button primary" onClick=${close}>${t("parts.done")}</button>
    </footer>
  </${Dialog}>`;
}

/** @param {{server?: any, preset?: any, then?: (id: string) => void}} [options] `server`: the one to change */
export function serverDialog(options = {}) {
  open((close) => html`<${ServerForm} ...${options} close=${close} />`);
}

/** @param {{id: string, close: () => void, then: () => void}} props */
function KeyForm({ id, close, then }) {
  const [key, setKey] = useState("");
  return html`<${FormDialog} title=${t("server.key_title", { server: id })} action=${t("server.key_do")} onClose=${close} disabled=${!key}
    onSubmit=${async () => {
      await patch(`/api/servers/${encodeURIComponent(id)}`, { apiKey: key });
      close();
      await post(`/api/servers/${encodeURIComponent(id)}/check`).catch(failed);
      toast({ text: t("server.key_done", { server: id }) });
      then();
    }}>
    <${Field} label=${t("server.key")} value=${key} onInput=${setKey} type="password" required autofocus hint=${t("server.key_fix_hint")} />
  </${FormDialog}>`;
}

/** A new key for a server that refuses ours. @param {string} id @param {() => void} then */
export function keyDialog(id, then) {
  open((close) => html`<${KeyForm} id=${id} close=${close} then=${then} />`);
}
