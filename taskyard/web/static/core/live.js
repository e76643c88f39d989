/**
 * What changes while one looks: a signal for each topic, fed by the node's stream of events. Knows no DOM: who shows the
 * page says when it is hidden.
 */

import { batch, computed, signal } from "../vendor/preact.js";
import { at, get, withQuery } from "./api.js";

/** A stream with nothing in it for so long is lost. */
const SILENCE_MS = 25_000;
const RETRY_MS = [1000, 2000, 4000, 8000, 15_000];
const HIDDEN_MS = 30_000;
/** Held for longer, the page asks to go on. */
export const HELD_LONG_MS = 300_000;

/** @typedef {"connecting" | "live" | "held" | "stale" | "lost"} State */
/** @typedef {"overview" | "lanes" | "fleet" | "attention" | "node"} Topic */

const connected = signal(/** @type {"connecting" | "live" | "lost"} */ ("connecting"));
/** Why the figures stand still: reasons such as `rows selected`; none: they do not. */
const holds = signal(/** @type {ReadonlySet<string>} */ (new Set()));
/** Since when the figures are held, and since when the connection is lost (the browser's clock); 0: they are not. */
export const heldSince = signal(0);
export const lostSince = signal(0);
/** As of when the figures are where the node cannot know what happens now (its clock); 0: it can. */
export const staleSince = signal(0);
/** When the next try to connect is due (the browser's clock). */
export const retryAt = signal(0);
/** How far the node's clock is ahead of the browser's, in ms. */
export const offset = signal(0);
/** The node's time now, moved once a second: everything relative is worked out from it. */
export const now = signal(Date.now());
/** When the latest event was made, by the node's clock. */
export const asOf = signal(0);

export const state = computed(() => {
  if (connected.value === "lost") return "lost";
  if (staleSince.value) return "stale";
  return holds.value.size ? "held" : connected.value;
});

/** The latest of each topic as the API words it; `null` before there is one. */
export const topics = {
  overview: signal(/** @type {any} */ (null)),
  lanes: signal(/** @type {any} */ (null)),
  fleet: signal(/** @type {any} */ (null)),
  attention: signal(/** @type {any} */ (null)),
  node: signal(/** @type {any} */ (null)),
};

/** What has come, shown or held. @type {Record<string, any>} */
const latest = {};
/** @type {Map<object, {topics: readonly Topic[], tasks: readonly string[], onTask?: (task: any) => void}>} */
const wants = new Map();
/** What came while held. @type {Map<string, () => void>} */
const kept = new Map();
/** @type {EventSource | null} */
let stream = null;
let asked = "";
let tries = 0;
let heard = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let hiding;
let hidden = false;
let started = false;

/** Starts the clock. @param {number} nodeNow the node's time when the page was made */
export function start(nodeNow) {
  if (started) return;
  started = true;
  clock(nodeNow);
  setInterval(() => {
    now.value = Date.now() + offset.value;
    if (stream && connected.value === "live" && Date.now() - heard > SILENCE_MS) lose();
  }, 1000);
}

/** @param {number} nodeNow */
function clock(nodeNow) {
  const ahead = nodeNow - Date.now();
  // A difference of a few ms is the way from there to here.
  if (Math.abs(ahead - offset.value) > 500) offset.value = ahead;
}

/**
 * Asks for topics, and for the changes of some tasks, until the function given back is called.
 * @param {readonly Topic[]} names
 * @param {{tasks?: readonly string[], onTask?: (task: any) => void}} [watched] at most 100 ids
 */
export function want(names, { tasks = [], onTask } = {}) {
  const key = {};
  wants.set(key, { topics: names, tasks, onTask });
  queueMicrotask(reconsider);
  return () => {
    wants.delete(key);
    queueMicrotask(reconsider);
  };
}

/** Holds the figures for a reason, until the function given back is called. @param {string} reason */
export function hold(reason) {
  if (!holds.value.size) heldSince.value = Date.now();
  holds.value = new Set([...holds.value, reason]);
  return () => release(reason);
}

/** @param {string} [reason] without one: all of them */
export function release(reason) {
  const left = new Set(reason === undefined ? [] : [...holds.value].filter((one) => one !== reason));
  batch(() => {
    holds.value = left;
    if (left.size) return;
    heldSince.value = 0;
    for (const apply of kept.values()) apply();
    kept.clear();
  });
}

/** The page is hidden or shown: a hidden one gives its connection back after a while. @param {boolean} shown */
export function visible(shown) {
  clearTimeout(hiding);
  if (!shown) {
    hiding = setTimeout(() => {
      hidden = true;
      close();
    }, HIDDEN_MS);
  } else if (hidden) {
    hidden = false;
    reconnect();
  }
}

/** Tries to connect now. */
export function reconnect() {
  close();
  reconsider();
}

function wanted() {
  const names = new Set([...wants.values()].flatMap((want) => want.topics));
  const tasks = new Set([...wants.values()].flatMap((want) => want.tasks));
  // Who tells goes with whatever is told.
  if (names.size || tasks.size) names.add("node");
  return { names: [...names].sort(), tasks: [...tasks].slice(0, 100).sort() };
}

function reconsider() {
  if (hidden) return;
  const { names, tasks } = wanted();
  const path = withQuery("/api/events", { topics: names.join(","), tasks: tasks.join(",") });
  if (path === asked && (stream || timer)) return;
  close();
  asked = path;
  if (names.length || tasks.length) open(path);
}

function close() {
  clearTimeout(timer);
  timer = undefined;
  stream?.close();
  stream = null;
  asked = "";
}

/** @param {string} path */
function open(path) {
  const opened = new EventSource(at(path));
  stream = opened;
  heard = Date.now();
  for (const name of ["snapshot", "overview", "lanes", "fleet", "attention", "node", "task", "reset", "stale", "tick", "end"]) {
    opened.addEventListener(name, (event) => {
      if (opened === stream) hear(name, JSON.parse(/** @type {MessageEvent} */ (event).data));
    });
  }
  opened.onerror = () => {
    if (opened !== stream) return;
    const closed = opened.readyState === 2;
    opened.close();
    stream = null;
    if (closed) void refused();
    else lose();
  };
}

function live() {
  batch(() => {
    heard = Date.now();
    connected.value = "live";
    lostSince.value = 0;
  });
}

/** The figures stand still from now on, since when they did already stays. */
function cut() {
  batch(() => {
    if (connected.value !== "lost") lostSince.value = Date.now();
    connected.value = "lost";
  });
}

function lose() {
  stream?.close();
  stream = null;
  const pause = RETRY_MS[Math.min(tries, RETRY_MS.length - 1)];
  tries += 1;
  batch(() => {
    cut();
    retryAt.value = Date.now() + pause;
  });
  clearTimeout(timer);
  timer = setTimeout(reconnect, pause);
}

/** @param {string} name @param {any} data */
function hear(name, data) {
  if (name === "end" && data.reason === "unavailable") {
    // A node that cannot serve the stream is not asked again at once.
    lose();
    return;
  }
  live();
  if (typeof data.now === "number") {
    clock(data.now);
    if (name !== "stale") asOf.value = data.now;
  }
  if (name === "stale") {
    staleSince.value = data.since ?? 0;
  } else if (name === "snapshot") {
    tries = 0;
    staleSince.value = 0;
    for (const topic of /** @type {Topic[]} */ (Object.keys(topics))) if (data[topic]) put(topic, data[topic]);
  } else if (name === "task") {
    tell(data);
  } else if (name === "end") {
    // Without a session, or from a node that goes, the next try says so.
    reconnect();
  } else if (name === "fleet" && !data.id) {
    put("fleet", merged(data));
  } else if (name in topics) {
    put(/** @type {Topic} */ (name), data);
  }
}

/** @param {Topic} topic @param {any} value */
function put(topic, value) {
  latest[topic] = value;
  const apply = () => {
    topics[topic].value = value;
  };
  if (holds.value.size) kept.set(topic, apply);
  else apply();
}

/** The fleet's columns with what changed in them. @param {any} change */
function merged({ i, active, status, ms }) {
  const before = latest.fleet;
  const fleet = { ...before, active: [...before.active], status: [...before.status], ms: [...before.ms] };
  i.forEach((/** @type {number} */ place, /** @type {number} */ at) => {
    fleet.active[place] = active[at];
    fleet.ms[place] = ms[at];
    if (status[at] !== null) fleet.status[place] = status[at];
  });
  return fleet;
}

/** @param {any} task */
function tell(task) {
  const apply = () => {
    for (const want of wants.values()) if (want.tasks.includes(task.id)) want.onTask?.(task);
  };
  if (holds.value.size) kept.set(`task ${task.id}`, apply);
  else apply();
}

/** A stream was refused: a call says whether for want of a session, else it is tried again later. */
async function refused() {
  try {
    await get("/api/session");
  } catch (problem) {
    if (/** @type {{status?: number}} */ (problem).status === 401) {
      // Nothing is tried again before someone signs in: that is said elsewhere.
      if (!stream) cut();
      return;
    }
  }
  if (!stream) lose();
}
