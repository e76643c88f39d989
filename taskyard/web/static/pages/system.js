/** System: the nodes, the settings in force and where each comes from, who changed what, and the licences. */

import { at, get, withQuery } from "../core/api.js";
import { duration, moment, number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { now, offset } from "../core/live.js";
import { isAdmin } from "../core/session.js";
import { setQuery, to } from "../nav.js";
import { Copy } from "../parts/copy.js";
import { Empty, Ticks } from "../parts/empty.js";
import { focusFilter, Filter } from "../parts/filter.js";
import { useKeys } from "../parts/list.js";
import { Shown, useLoad } from "../parts/load.js";
import { Shape } from "../parts/status.js";
import { Title } from "../parts/title.js";
import { failed } from "../parts/toast.js";
import { html, useEffect, useState } from "../vendor/preact.js";

const EVERY_MS = 5000;
const CLOCK_MS = 5000;
const TABS = /** @type {const} */ (["nodes", "settings", "audit", "licences"]);

/** @param {{query: Record<string, string>}} props */
export default function System({ query }) {
  const open = TABS.filter((name) => isAdmin.value || name === "nodes" || name === "licences");
  const tab = /** @type {readonly string[]} */ (open).includes(query.tab) ? query.tab : "nodes";
  useKeys({ "/": focusFilter });
  const ahead = offset.value;
  return html`<${Title} name=${t("nav.system")} live>
      <a class="button" href=${at("/docs")} target="_blank" rel="noreferrer">${t("system.api")}</a>
      ${isAdmin.value && html`<a class="button" href=${at("/metrics")} target="_blank" rel="noreferrer">${t("system.metrics")}</a>`}
    </${Title}>
    ${Math.abs(ahead) > CLOCK_MS && html`<p class="sentence">${t(ahead > 0 ? "system.clock_behind" : "system.clock_ahead", { span: Math.abs(ahead) })}</p>`}
    <nav class="tabs" aria-label=${t("nav.system")}>${open.map((name) => html`<a key=${name} href=${to(withQuery("/system", { tab: name === "nodes" ? null : name }))} aria-current=${tab === name ? "page" : null}>${t(`system.${name}`)}</a>`)}</nav>
    ${tab === "nodes" && html`<${Nodes} />`}
    ${tab === "settings" && html`<${Settings} query=${query} />`}
    ${tab === "audit" && html`<${Audit} query=${query} />`}
    ${tab === "licences" && html`<${Licences} />`}`;
}

/** The nodes; where there is one alone, what it says of itself. */
function Nodes() {
  const nodes = useLoad(isAdmin.value ? "/api/nodes" : null, { every: EVERY_MS });
  const health = useLoad("/health", { every: EVERY_MS });
  const ready = useLoad("/ready", { every: EVERY_MS });
  const is = ready.data ? "completed" : ready.error ? "failed" : "waiting";
  return html`<section class="card facts"><p class=${`verdict s-${is}`} role="status"><${Shape} name=${is} /> ${ready.data ? t("system.ready") : ready.error ? t("system.not_ready", { why: ready.error.details || ready.error.error }) : "…"}</p>
      <p class="muted">${health.data && t("system.version", { version: health.data.version })}</p></section>
    ${nodes.data?.nodes?.length > 0 && html`<section class="card"><header><h2>${t("system.nodes")}</h2></header><div class="scroll"><table class="data"><thead><tr>
      <th scope="col">${t("system.node")}</th><th scope="col">${t("system.role")}</th><th scope="col" class="num">${t("system.sending")}</th><th scope="col" class="num">${t("system.heard")}</th><th scope="col">${t("system.version_name")}</th><th scope="col" class="num">${t("system.up")}</th></tr></thead>
      <tbody>${nodes.data.nodes.map((/** @type {any} */ node) => html`<tr key=${node.id}><th scope="row"><code>${node.name}</code>${node.self && html` <span class="muted">${t("system.self")}</span>`}<p class="muted"><code>${node.url}</code></p></th>
        <td>${t(`system.role_${node.role}`)}${node.draining && html`<p class="muted">${t("status.draining")}</p>`}</td>
        <td class="num">${number(node.load)}</td><td class="num">${node.self ? "–" : t("parts.ago", { span: duration(node.lag) })}</td><td>${node.version}</td><td class="num">${duration(now.value - node.startedAt)}</td></tr>`)}</tbody></table></div></section>`}`;
}

/** @param {{query: Record<string, string>}} props */
function Settings({ query }) {
  const loaded = useLoad("/api/settings");
  const text = (query.q ?? "").toLowerCase();
  return html`<div class="filter"><span class="filter-box"><input type="search" class="filter-field" data-filter value=${query.q ?? ""} placeholder=${t("system.find")} aria-label=${t("system.find")}
      onInput=${(/** @type {any} */ event) => setQuery({ q: event.target.value })} /><kbd aria-hidden="true">/</kbd></span>
      <label class="row"><input type="checkbox" checked=${query.changed === "1"} onChange=${(/** @type {any} */ event) => setQuery({ changed: event.target.checked ? "1" : null })} />${t("system.changed_only")}</label></div>
    <${Shown} loaded=${loaded}>${(/** @type {any} */ data) => {
      const rows = data.settings.filter((/** @type {any} */ one) => (query.changed !== "1" || one.source !== "default") && `${one.name} ${one.doc} ${one.origin}`.toLowerCase().includes(text));
      if (!rows.length) return html`<${Empty} title=${t("system.none")} />`;
      return html`<section class="card"><div class="scroll"><table class="data settings"><thead><tr><th scope="col">${t("system.setting")}</th><th scope="col">${t("system.value")}</th><th scope="col">${t("system.source")}</th></tr></thead>
        <tbody>${rows.map((/** @type {any} */ one) => html`<tr key=${one.name}><th scope="row"><code>${one.name}</code><p class="muted" lang="en"><${Ticks} text=${one.doc} /></p></th>
          <td><code>${one.shown || "–"}</code>${one.source !== "default" && html`<p class="muted">${t("system.default", { value: one.default || "–" })}</p>`}</td>
          <td>${t(`system.source.${one.source}`)}${one.source !== "default" && html`<p class="muted"><code>${one.origin}</code></p>`}</td></tr>`)}</tbody></table></div></section>`;
    }}</${Shown}>`;
}

const AUDIT_NAMES = { who: "who", action: "action", target: "target" };

/** @param {{query: Record<string, string>}} props */
function Audit({ query }) {
  const { who, action, target } = query;
  const path = withQuery("/api/audit", { who, action, target });
  const loaded = useLoad(path);
  const [more, setMore] = useState({ path: "", entries: /** @type {any[]} */ ([]), next: /** @type {string | null} */ (null) });
  useEffect(() => setMore({ path, entries: [], next: loaded.data?.nextCursor ?? null }), [path, loaded.data]);
  const load = async () => {
    const { data } = await get(withQuery(path, {}).concat(path.includes("?") ? "&" : "?", `cursor=${encodeURIComponent(more.next ?? "")}`));
    setMore({ path, entries: [...more.entries, ...data.entries], next: data.nextCursor });
  };
  return html`<${Filter} names=${AUDIT_NAMES} facets=${{}} query=${{ ...query, q: "" }} onChange=${(/** @type {any} */ changes) => setQuery(changes, { push: true })} />
    <${Shown} loaded=${loaded}>${(/** @type {any} */ data) => {
      const rows = [...data.entries, ...more.entries];
      if (!rows.length) return html`<${Empty} title=${t("system.no_audit")} text=${t("system.no_audit_text")} />`;
      return html`<section class="card list"><div class="scroll"><table class="data"><thead><tr><th scope="col">${t("system.when")}</th><th scope="col">${t("system.who")}</th><th scope="col">${t("system.action")}</th><th scope="col">${t("system.target")}</th><th scope="col">${t("system.what")}</th></tr></thead>
        <tbody>${rows.map((one) => html`<tr key=${one.id}><td><time title=${new Date(one.at).toISOString()}>${moment(one.at)}</time></td><td>${one.who}</td><td><code>${one.action}</code></td><td>${one.target ? html`<code>${one.target}</code>` : "–"}</td><td><code class="wrap">${one.details ?? ""}</code></td></tr>`)}</tbody></table></div>
        ${more.next && html`<footer class="list-foot"><span class="muted">${t("tasks.shown_more", { n: rows.length })}</span><button type="button" class="button" onClick=${() => load().catch(failed)}>${t("system.load_more")}</button></footer>`}</section>`;
    }}</${Shown}>`;
}

/** What of others runs in this page. */
function Licences() {
  const [packages, setPackages] = useState(/** @type {any[]} */ ([]));
  useEffect(() => {
    fetch(new URL("../vendor/vendor.json", import.meta.url)).then((answer) => answer.json()).then((data) => setPackages(data.packages), failed);
  }, []);
  return html`<section class="card facts"><p>${t("system.licences_text")}</p></section>
    <section class="card"><div class="scroll"><table class="data"><thead><tr><th scope="col">${t("system.package")}</th><th scope="col">${t("system.version_name")}</th><th scope="col">${t("system.licence")}</th><th scope="col">${t("system.integrity")}</th></tr></thead>
      <tbody>${packages.map((one) => html`<tr key=${one.name}><th scope="row">${one.name}</th><td>${one.version}</td><td>${one.license}</td><td><code class="wrap">${one.integrity}</code> <${Copy} text=${one.integrity} what=${one.name} /></td></tr>`)}</tbody></table></div></section>`;
}
