/** Balancing: by which algorithm servers are picked, and how the picks were shared beside what the weights ask for. */

import { put } from "../core/api.js";
import { number, percent } from "../core/format.js";
import { t } from "../core/i18n.js";
import { isAdmin } from "../core/session.js";
import { go, to } from "../nav.js";
import { Do } from "../parts/button.js";
import { Empty } from "../parts/empty.js";
import { listKeys, useKeys, useList } from "../parts/list.js";
import { Shown, useLoad } from "../parts/load.js";
import { Status } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Title, windowOf } from "../parts/title.js";
import { failed, toast } from "../parts/toast.js";
import { html, useMemo } from "../vendor/preact.js";

const EVERY_MS = 5000;
const ALGORITHMS = ["weighted-round-robin", "round-robin", "least-connections", "response-time", "random"];

/** Puts an algorithm in force; the toast takes it back. @param {string} name @param {string} before @param {() => void} done */
async function use(name, before, done) {
  await put("/api/loadbalancer/algorithm", { algorithm: name });
  done();
  toast({
    text: t("balance.used", { name: t(`balance.${name}`) }),
    action: {
      label: t("parts.undo"),
      run: () => put("/api/loadbalancer/algorithm", { algorithm: before }).then(done, failed),
    },
  });
}

/** @param {{query: Record<string, string>}} props */
export default function Balance({ query }) {
  const window = windowOf(query, "1h");
  const status = useLoad("/api/loadbalancer/status", { every: EVERY_MS });
  const fleet = useLoad(`/api/fleet?window=${window}`, { every: EVERY_MS });
  return html`<${Title} name=${t("nav.balance")} live window=${window} />
    <${Shown} loaded=${status}>${(/** @type {any} */ data) => html`
      <p class="sentence">${t("balance.says", { name: t(`balance.${data.algorithm}`), n: data.healthyServers, active: data.totalActiveTasks, load: data.averageLoad })}</p>
      <div class="cards" role="group" aria-label=${t("balance.algorithms")}>${ALGORITHMS.map((name) => {
        const on = name === data.algorithm;
        return html`<section key=${name} class=${on ? "card option on" : "card option"} aria-current=${on ? "true" : null}>
          <h2>${t(`balance.${name}`)}</h2><p>${t(`balance.${name}_text`)}</p>
          ${on ? html`<p class="in-force">✓ ${t("balance.in_force")}</p>` : isAdmin.value && html`<${Do} onClick=${() => use(name, data.algorithm, status.reload).catch(failed)} title=${t("balance.effect")}>${t("balance.use")}</${Do}>`}
        </section>`;
      })}</div>
      <p class="muted">${t("balance.note")}</p>`}
    </${Shown}>
    <${Shown} loaded=${fleet}>${(/** @type {any} */ data) => html`<${Shares} fleet=${data} />`}</${Shown}>`;
}

/** Expected against real share, the largest difference first. @param {{fleet: any}} props */
function Shares({ fleet }) {
  const rows = useMemo(
    () =>
      fleet.id
        .map((/** @type {string} */ id, /** @type {number} */ at) => ({
          id, name: fleet.name[at], status: fleet.status[at], weight: fleet.weight[at], picks: fleet.picks[at], share: fleet.share[at], expected: fleet.expected[at],
        }))
        .sort((/** @type {any} */ one, /** @type {any} */ other) => other.picks - one.picks || (one.name < other.name ? -1 : 1)),
    [fleet],
  );
  const list = useList(() => rows.map((/** @type {any} */ row) => row.id));
  useKeys({ ...listKeys(list), x: () => false });
  if (!rows.length) return html`<${Empty} title=${t("servers.none")} text=${t("balance.no_servers")}><a class="button" href=${to("/servers")}>${t("nav.servers")}</a></${Empty}>`;
  const most = Math.max(...rows.flatMap((/** @type {any} */ row) => [row.share ?? 0, row.expected ?? 0]), 0.0001);
  return html`<section class="card list"><header><h2>${t("balance.shares")}</h2><span class="muted">${t("balance.shares_text")}</span></header>
    <${Table} label=${t("balance.shares")} rows=${rows} id=${(/** @type {any} */ row) => row.id} list=${{ cursor: list.cursor, selected: {} }}
      onOpen=${(/** @type {any} */ row) => go(`/servers/${encodeURIComponent(row.id)}`)} columns=${[
        { key: "name", title: t("servers.name"), class: "lead grow", cell: (/** @type {any} */ row) => html`<a href=${to(`/servers/${encodeURIComponent(row.id)}`)}>${row.name}</a>` },
        { key: "status", title: t("tasks.status"), class: "lead", cell: (/** @type {any} */ row) => html`<${Status} name=${row.status} />` },
        { key: "weight", title: t("server.weight"), num: true, class: "wide-only", cell: (/** @type {any} */ row) => (row.weight ? number(row.weight) : t("server.standby")) },
        { key: "picks", title: t("balance.picks"), num: true, class: "side", cell: (/** @type {any} */ row) => number(row.picks) },
        { key: "shares", title: t("balance.expected_real"), class: "sub grow", cell: (/** @type {any} */ row) => html`<${Pair} row=${row} most=${most} />` },
      ]} /></section>`;
}

/** The real share as a bar, the expected one as a mark on it. @param {{row: any, most: number}} props */
function Pair({ row, most }) {
  const at = (/** @type {number | null} */ share) => `${((share ?? 0) / most) * 100}%`;
  return html`<span class="pair-bars"><svg width="100%" height="14" aria-hidden="true"><rect class="track" x="0" y="3" width="100%" height="8" rx="4" /><rect class="fill-running" x="0" y="3" width=${at(row.share)} height="8" rx="2" />
    ${row.expected !== null && row.weight > 0 && html`<svg x=${at(row.expected)} overflow="visible"><line class="expected" x1="0" x2="0" y1="0" y2="14" /></svg>`}</svg>
    <span class="num">${row.share === null ? "–" : percent(row.share)} <span class="muted">${row.expected === null || row.weight === 0 ? "" : t("balance.of", { share: row.expected })}</span></span></span>`;
}
