/** The whole yard at a glance: what needs someone, how much runs, what waits and why, what runs where. */

import { bytes, compact, duration, number, percent, rate, span } from "../core/format.js";
import { t } from "../core/i18n.js";
import { now, topics, want } from "../core/live.js";
import { grown } from "../core/series.js";
import { isAdmin, session } from "../core/session.js";
import { to } from "../nav.js";
import { Actions } from "../parts/act.js";
import { Chart } from "../parts/chart.js";
import { Servers } from "../parts/fleet.js";
import { Shown, useLoad } from "../parts/load.js";
import { FirstSteps } from "../parts/start.js";
import { Shape } from "../parts/status.js";
import { Title, windowOf } from "../parts/title.js";
import { briefly, Funnel } from "../parts/why.js";
import { html, useEffect, useMemo, useRef } from "../vendor/preact.js";

const POINTS = 300;
/** So long before a sign-in ends it is said. */
const SIGN_IN_MS = 30 * 60_000;
/** How often a window's figures are loaded anew, in ms; the points of the shortest come by themselves. */
const EVERY = /** @type {Record<string, number>} */ ({ "5m": 30_000, "1h": 12_000, "24h": 60_000 });
const RED = new Set(["stalled", "disk_low", "lane_unserved", "server_misconfigured", "server_offline", "failing"]);

/** @param {{query: Record<string, string>}} props */
export default function Overview({ query }) {
  const window = windowOf(query);
  const loaded = useLoad(`/api/overview?window=${window}`, { every: EVERY[window] });
  useEffect(() => want(["overview", "lanes", "fleet", "attention"]), []);
  return html`<${Title} name=${t("nav.overview")} live window=${window} />
    <${Shown} loaded=${loaded}>${(/** @type {any} */ seen) => html`<${Yard} seen=${seen} window=${seen.window} />`}</${Shown}>`;
}

/** The series with the seconds that have come since it was loaded. @param {any} seen @param {string} window */
function useSeries(seen, window) {
  const kept = useRef(/** @type {any} */ (null));
  const point = topics.overview.value?.point;
  return useMemo(() => {
    if (kept.current?.of !== seen) kept.current = { of: seen, series: seen.series };
    if (window === "5m" && point) kept.current.series = grown(kept.current.series, point, seen.step, POINTS);
    return kept.current.series;
  }, [seen, point, window]);
}

/** @param {{seen: any, window: string}} props */
function Yard({ seen, window }) {
  const series = useSeries(seen, window);
  const live = topics.overview.value;
  const counts = live?.counts ?? seen.counts;
  const slots = live?.slots ?? seen.slots;
  const servers = live?.servers ?? seen.servers;
  // The counts of one who is no admin are its own, the oldest is the whole yard's: the two do not go together.
  const oldest = isAdmin.value ? (live ?? seen).oldest : null;
  const registered = /** @type {number[]} */ (Object.values(servers)).reduce((sum, count) => sum + count, 0);
  const attention = withSignIn(topics.attention.value ?? seen, now.value);
  const lanes = topics.lanes.value;
  const fleet = topics.fleet.value;
  return html`
    ${registered === 0 && isAdmin.value
      ? html`<${FirstSteps} servers=${registered} tasks=${counts.total} done=${counts.completed} />`
      : html`<${NeedsYou} attention=${attention.attention} more=${attention.more} seen=${seen} counts=${counts} servers=${servers} registered=${registered} oldest=${oldest} />`}
    <${Tiles} seen=${seen} series=${series} counts=${counts} slots=${slots} oldest=${oldest} window=${window} />
    <div class=${fleet && fleet.id.length > 40 ? "halves tall" : "halves"}>
      ${lanes && html`<${Waiting} lanes=${lanes} />`}
      ${fleet && html`<section class="card"><header><h2>${t("overview.where")}</h2><span class="spacer"></span>
        <a class="small" href=${to("/servers")}>${t("overview.servers", { n: fleet.id.length })}</a></header>
        <div class="card-body"><${Servers} fleet=${fleet} /></div></section>`}
    </div>
    <${Charts} series=${series} step=${seen.step} />`;
}

/** What needs someone, and the end of the reader's own sign-in, which no stream tells. @param {any} told @param {number} at */
function withSignIn(told, at) {
  const ends = session.value?.exp ?? 0;
  if (!ends || ends - at > SIGN_IN_MS) return told;
  const found = told.attention.filter((/** @type {any} */ one) => one.code !== "sign_in_ends");
  return { ...told, attention: [...found, { code: "sign_in_ends", params: { at: ends }, since: null, actions: [] }] };
}

/** @param {{attention: any[], more: number, seen: any, counts: any, servers: any, registered: number, oldest: number | null}} props */
function NeedsYou({ attention, more, counts, servers, registered, oldest }) {
  if (!attention.length) {
    const up = (servers.online ?? 0) + (servers.degraded ?? 0);
    const runs = t("overview.runs", { n: counts.processing, up, of: registered });
    const waits = oldest ? t("overview.waits", { n: counts.pending, age: now.value - oldest }) : counts.pending && !isAdmin.value ? t("overview.waits_own", { n: counts.pending }) : t("overview.nothing_waits");
    return html`<p class="all-well"><${Shape} name="completed" /> <b>${t("overview.all_well")}</b>${t("parts.gap")}${runs}${t("parts.gap")}${waits}</p>`;
  }
  return html`<section class=${`card needs ${attention.some((one) => RED.has(one.code)) ? "red" : ""}`}>
    <header><h2>${t("overview.needs_you")}</h2></header>
    <ul>${attention.map(
      (one) => html`<li key=${one.code + JSON.stringify(one.params.lane ?? one.params.server ?? "")}>
        <${Shape} name=${RED.has(one.code) ? "failed" : "waiting"} />
        <span class="words">${sentence(one)}</span>
        <${Fix} one=${one} />
      </li>`,
    )}</ul>
    ${more > 0 && html`<p class="muted more">${t("overview.more", { n: more })}</p>`}
  </section>`;
}

const signIn = () => void import("../parts/again.js").then(({ signInAgain }) => signInAgain());

/** @param {{one: any}} props */
function Fix({ one }) {
  if (one.code === "failing") return html`<a class="button" href=${to("/failures?window=1h")}>${t("overview.open_failures")}</a>`;
  if (one.code === "sign_in_ends") return html`<button type="button" class="button" onClick=${signIn}>${t("signin.do")}</button>`;
  if (one.code === "queue_growing") return html`<a class="button" href=${to("/tasks?status=PENDING")}>${t("overview.open_waiting")}</a>`;
  return html`<${Actions} actions=${one.actions} most=${1} />`;
}

/** What is the matter, in words. @param {any} one */
function sentence({ code, params, since }) {
  const age = since ? now.value - since : 0;
  if (code === "lane_unserved" || code === "lane_down") {
    const why = briefly({ code: params.reason, params: params.reasonParams }, now.value);
    return t(`attention.${code}`, { n: params.queued, needs: needs(params.lane), why, age });
  }
  if (code === "server_offline" && params.error) return t("attention.server_offline_error", { ...params, age });
  if (code === "stalled") return t("attention.stalled", { state: t(`attention.state.${params.state}`) });
  if (code === "disk_low") return params.freeBytes === null ? t("attention.disk_full") : t("attention.disk_low", { free: bytes(params.freeBytes) });
  return t(`attention.${code}`, { ...params, n: params.count ?? params.failed ?? params.changes ?? 0, age });
}

/** @param {{capabilities: string[], group: string | null, serverId: string | null}} lane */
function needs(lane) {
  return [...lane.capabilities, lane.group, lane.serverId].filter(Boolean).join(" + ") || t("overview.any_server");
}

/** @param {{seen: any, series: any, counts: any, slots: any, oldest: number | null, window: string}} props */
function Tiles({ seen, series, counts, slots, oldest, window }) {
  const minutes = (seen.step * POINTS) / 60_000;
  const lately = series.completed.filter((/** @type {number | null} */ one) => one !== null);
  const perMinute = lately.length ? (lately.reduce((/** @type {number} */ sum, /** @type {number} */ one) => sum + one, 0) / Math.min(minutes, (lately.length * seen.step) / 60_000)) : 0;
  const ms = (/** @type {number | null} */ value) => (value === null ? "–" : duration(value));
  const within = t(`window.${window}`);
  return html`<dl class="tiles">
    <${Tile} name=${t("overview.throughput")} value=${rate(perMinute)} words=${t("overview.per_minute")} line=${series.completed} kind="completed" />
    <${Tile} name=${t("overview.running")} value=${compact(counts.processing)} words=${t("overview.of_slots", { used: slots.used, total: slots.total })} line=${series.running} kind="running" />
    <${Tile} name=${t("overview.waiting")} value=${compact(counts.pending)} words=${oldest ? t("overview.oldest", { age: now.value - oldest }) : counts.pending && !isAdmin.value ? "" : t("overview.none")} line=${series.waiting} kind="waiting" />
    <${Tile} name=${t("overview.success")} value=${seen.success === null ? "–" : percent(seen.success)} words=${t("overview.of_ended", { n: seen.totals.completed + seen.totals.failed + seen.totals.timeout, window: within })} />
    <${Tile} name=${t("overview.wait_p95")} value=${ms(seen.wait.p95)} words=${t("overview.run_p95", { ms: ms(seen.run.p95) })} />
  </dl>`;
}

/** @param {{name: string, value: string, words: string, line?: (number | null)[], kind?: string}} props */
function Tile({ name, value, words, line, kind }) {
  return html`<div class="card tile"><dt>${name}</dt><dd><b>${value}</b><span>${words}</span></dd>${line && html`<${Spark} values=${line} kind=${kind} />`}</div>`;
}

/** A line without axes: only its shape. @param {{values: (number | null)[], kind?: string}} props */
function Spark({ values, kind }) {
  const top = Math.max(1, ...values.map((value) => value ?? 0));
  const step = 100 / Math.max(1, values.length - 1);
  let pen = "M";
  let path = "";
  values.forEach((value, at) => {
    if (value === null) pen = "M";
    else {
      path += `${pen}${(at * step).toFixed(1)} ${(22 - (value / top) * 20).toFixed(1)}`;
      pen = "L";
    }
  });
  return html`<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true"><path class=${`stroke-${kind}`} d=${path} /></svg>`;
}

/** @param {{lanes: any}} props */
function Waiting({ lanes }) {
  const { lanes: shown, other } = lanes;
  return html`<section class="card"><header><h2>${t("overview.what_waits")}</h2><span class="spacer"></span>
      <span class="muted small">${t("overview.lanes", { n: shown.length + other.lanes })}</span></header>
    ${
      shown.length
        ? html`<div class="scroll" tabindex="0" role="region" aria-label=${t("overview.what_waits")}><table class="lanes">
            <thead><tr><th scope="col">${t("overview.needs")}</th><th scope="col" class="num">${t("overview.waiting")}</th><th scope="col" class="num">${t("overview.oldest_head")}</th>
              <th scope="col">${t("overview.why")}</th><th scope="col">${t("overview.funnel")}</th></tr></thead>
            <tbody>${shown.slice(0, 8).map((/** @type {any} */ lane) => html`<${Lane} key=${[...lane.capabilities, lane.group, lane.serverId].join("|")} lane=${lane} />`)}</tbody>
          </table></div>`
        : html`<p class="card-body muted">${t("overview.nothing_waits")}</p>`
    }
  </section>`;
}

/** The steps of a lane's funnel in four: there are, can, are well, are free. */
const STAGES = [["registered"], ["able", "in_group", "pinned"], ["in_service", "alive", "trusted", "willing", "reached"], ["free", "not_avoided"]];

/** @param {{step: string, count: number}[]} steps */
function staged(steps) {
  return STAGES.flatMap((stage) => {
    const within = steps.filter((one) => stage.includes(one.step));
    const last = within.find((one) => one.count === 0) ?? within.at(-1);
    return last ? [last] : [];
  });
}

/** @param {{lane: any}} props */
function Lane({ lane }) {
  const words = [...lane.capabilities, lane.group, lane.serverId].filter(Boolean);
  return html`<tr>
    <td data-label=${t("overview.needs")}><span class="chips">${words.length ? words.map((/** @type {string} */ word) => html`<span class="chip" key=${word}>${word}</span>`) : html`<span class="muted">${t("overview.anything")}</span>`}</span></td>
    <td class="num" data-label=${t("overview.waiting")}>${number(lane.queued)}</td>
    <td class="num" data-label=${t("overview.oldest_head")}>${lane.oldestAt ? span(now.value - lane.oldestAt) : "–"}</td>
    <td class="why">${briefly(lane, now.value)}</td>
    <td class="way"><${Funnel} steps=${staged(lane.funnel)} /></td>
  </tr>`;
}

/** @param {{series: any, step: number}} props */
function Charts({ series, step }) {
  const perSecond = (/** @type {(number | null)[]} */ values) => values.map((value) => (value === null ? null : value / (step / 1000)));
  const of = (/** @type {string} */ key, /** @type {string} */ kind, /** @type {(number | null)[]} */ values, fill = false) => ({ key, kind, values, fill, name: t(`overview.line_${key}`) });
  return html`<div class="charts">
    <${Chart} title=${t("overview.flow")} t=${series.t} told=${rate} lines=${[of("submitted", "running", perSecond(series.submitted)), of("completed", "completed", perSecond(series.completed)), of("failed", "failed", perSecond(series.failed))]} />
    <${Chart} title=${t("overview.waiting_tasks")} t=${series.t} told=${compact} lines=${[of("waiting", "waiting", series.waiting, true), of("running", "running", series.running)]} />
    <${Chart} title=${t("overview.times")} t=${series.t} told=${duration} lines=${[of("wait", "waiting", series.waitP95), of("run", "timeout", series.runP95)]} />
  </div>`;
}
