import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";

import { lostSince, reconnect, staleSince, state, topics, want } from "../../../taskyard/web/static/core/live.js";

/** The browser's stream of events, which Node has not: what comes is given it by hand. */
class Stream extends EventTarget {
  static made = /** @type {Stream[]} */ ([]);
  readyState = 1;
  constructor() {
    super();
    Stream.made.push(this);
  }
  close() {
    this.readyState = 2;
  }
  tell(name, data) {
    this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }));
  }
}

test("a node that cannot serve the stream is asked ever more seldom, and a refusal is seen as lost", async () => {
  globalThis.EventSource = /** @type {any} */ (Stream);
  mock.timers.enable({ apis: ["setTimeout"] });
  want(["overview"]);
  await turn();
  const made = () => Stream.made.length;
  const newest = () => Stream.made[Stream.made.length - 1];
  newest().tell("snapshot", { overview: {} });
  assert.equal(state.value, "live");
  for (const pause of [1000, 2000, 4000]) {
    const before = made();
    newest().onopen?.();
    newest().tell("end", { reason: "unavailable" });
    assert.equal(state.value, "lost");
    mock.timers.tick(pause - 1);
    assert.equal(made(), before);
    mock.timers.tick(1);
    assert.equal(made(), before + 1);
  }
  newest().tell("snapshot", { overview: {} });
  assert.equal(state.value, "live");
  newest().tell("end", { reason: "unavailable" });
  const before = made();
  mock.timers.tick(1000);
  assert.equal(made(), before + 1, "after a snapshot the pauses are short again");
  newest().tell("snapshot", { overview: {} });

  globalThis.fetch = async () => new Response("{}", { status: 401 });
  newest().close();
  newest().onerror();
  for (let at = 0; at < 100 && state.value === "live"; at += 1) await turn();
  assert.equal(state.value, "lost");
  assert.ok(lostSince.value > 0);
  mock.timers.tick(60_000);
  assert.equal(made(), before + 1, "nothing is tried before someone signs in");
});

test("where the node cannot know what happens the figures are of then, until it can", async () => {
  mock.timers.reset();
  reconnect();
  await turn();
  const stream = Stream.made[Stream.made.length - 1];
  stream.tell("snapshot", { now: 7000, overview: {}, node: { decides: false } });
  assert.deepEqual(topics.node.value, { decides: false });
  stream.tell("stale", { now: 9000, since: 5000 });
  stream.tell("task", { now: 9500, id: "x" });
  assert.deepEqual([state.value, staleSince.value], ["stale", 5000]);
  stream.tell("stale", { now: 9900, since: null });
  assert.equal(state.value, "live");
});
