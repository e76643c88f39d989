import assert from "node:assert/strict";
import test from "node:test";

import { grown } from "../../../taskyard/web/static/core/series.js";

test("a series grows by a point, takes its last one anew, and shows what was missed as a gap", () => {
  const begun = { t: [1000, 2000], ran: [1, 2] };
  assert.deepEqual(grown(begun, { t: 3000, ran: 3 }, 1000, 10), { t: [1000, 2000, 3000], ran: [1, 2, 3] });
  assert.deepEqual(grown(begun, { t: 2000, ran: 5 }, 1000, 10), { t: [1000, 2000], ran: [1, 5] });
  assert.equal(grown(begun, { t: 1000, ran: 9 }, 1000, 10), begun);
  assert.deepEqual(grown(begun, { t: 5000, ran: 4 }, 1000, 10), {
    t: [1000, 2000, 3000, 4000, 5000],
    ran: [1, 2, null, null, 4],
  });
  assert.deepEqual(grown(begun, { t: 9_000_000, ran: 4 }, 1000, 3), { t: [8_998_000, 8_999_000, 9_000_000], ran: [null, null, 4] });
  assert.deepEqual(grown({ t: [], ran: [] }, { t: 7, ran: 1 }, 1000, 3), { t: [7], ran: [1] });
  assert.deepEqual(begun, { t: [1000, 2000], ran: [1, 2] });
});
