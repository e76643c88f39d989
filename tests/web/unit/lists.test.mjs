import assert from "node:assert/strict";
import test from "node:test";

import { axis } from "../../../taskyard/web/static/core/axis.js";
import { csv } from "../../../taskyard/web/static/core/csv.js";
import { typed, written } from "../../../taskyard/web/static/core/filter.js";
import { visible, WHOLE_MOST } from "../../../taskyard/web/static/core/window.js";

test("a short list stands whole, of a long one what is on screen and little more", () => {
  assert.deepEqual(visible(WHOLE_MOST, 36, -3000, 800), { from: 0, to: WHOLE_MOST, above: 0, below: 0 });
  for (const top of [300, 0, -36 * 40, -36 * 999_000, -36 * 2_000_000]) {
    const { from, to, above, below } = visible(1_000_000, 36, top, 800);
    assert.equal(above + (to - from) * 36 + below, 36_000_000, "the list keeps its height");
    assert.ok(to - from <= 800 / 36 + 14);
    const first = Math.min(999_999, Math.max(0, Math.floor(-top / 36)));
    assert.ok(from <= first && first < to, "the first row on screen is there");
    const last = Math.min(999_999, Math.max(0, Math.floor((800 - top) / 36)));
    assert.ok(last < to, "and the last one");
  }
});

test("a spreadsheet takes no cell for a formula, and reads back what stood there", () => {
  assert.equal(csv(["a"], [["=1+1"], ["@x"], ["-1"], [-1], ['say "x", y'], ["a\nb"], [null]]), 'a\r\n\'=1+1\r\n\'@x\r\n\'-1\r\n-1\r\n"say ""x"", y"\r\n"a\nb"\r\n\r\n');
});

test("a typed filter becomes members and comes back as it was", () => {
  const names = { type: "type", server: "serverId", tag: "tag" };
  const members = { type: "ocr", serverId: "gpu-2", tag: "two words", q: "task_1" };
  assert.deepEqual(typed('type:ocr server:gpu-2 tag:"two words" task_1', names), members);
  assert.deepEqual(typed(written(members, names), names), members);
  assert.deepEqual(typed("colour:red", names), { q: "colour:red" });
  assert.deepEqual(typed("tag:", names), {});
});

test("a long gap is folded, a short one is not, and time stays in order", () => {
  const hour = 3_600_000;
  const { at, folds } = axis(0, 3 * hour + 10_000, [
    { from: 1000, to: 4000 },
    { from: 3 * hour + 4000, to: 3 * hour + 10_000 },
  ]);
  assert.equal(folds.length, 1);
  assert.equal(folds[0].ms, 3 * hour);
  assert.ok(at(4000) - at(1000) > 0.2, "three seconds beside three hours are seen");
  let before = -1;
  for (let time = 0; time <= 3 * hour + 10_000; time += 500) {
    assert.ok(at(time) > before);
    before = at(time);
  }
  assert.ok(Math.abs(before - 1) < 1e-9 && at(-5) === 0);
  assert.deepEqual(axis(0, 1000, [{ from: 100, to: 1000 }]).folds, []);
  assert.ok(Number.isFinite(axis(5, 5, []).at(5)), "an instant has an axis too");
});
