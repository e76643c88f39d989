/**
 * The axis of a task's timeline: stretches of time to stretches of a line, long gaps folded. Times are ms.
 *
 * A gap (a time in which nothing ran) that is longer than a fifth of what is left without it is drawn as a fold of
 * fixed width, so that an attempt of 3 s stays visible beside a back-off of 3 h.
 */

const FOLD_SHARE = 0.2;
const FOLD_WIDTH = 0.06;

/**
 * @typedef {{from: number, to: number}} Span
 * @typedef {{at: (time: number) => number, folds: {from: number, to: number, ms: number}[]}} Axis `at` gives 0-1;
 *   the folds' ends are on that scale
 */

/**
 * An axis from `start` to `end` on which everything outside `busy` may be folded.
 * @param {number} start
 * @param {number} end
 * @param {Span[]} busy in order, not overlapping
 * @returns {Axis}
 */
export function axis(start, end, busy) {
  const whole = Math.max(1, end - start);
  const gaps = [];
  let last = start;
  for (const span of busy) {
    if (span.from > last) gaps.push({ from: last, to: span.from });
    last = Math.max(last, span.to);
  }
  if (end > last) gaps.push({ from: last, to: end });
  gaps.sort((one, other) => other.to - other.from - (one.to - one.from));
  const folded = [];
  let left = whole;
  for (const gap of gaps) {
    const rest = left - (gap.to - gap.from);
    if (rest <= 0 || gap.to - gap.from <= FOLD_SHARE * rest) break;
    folded.push(gap);
    left = rest;
  }
  folded.sort((one, other) => one.from - other.from);
  const scale = (1 - folded.length * FOLD_WIDTH) / left;
  /** @param {number} time */
  const at = (time) => {
    const clamped = Math.min(Math.max(time, start), end);
    let place = 0;
    let from = start;
    for (const gap of folded) {
      if (clamped <= gap.from) break;
      place += (gap.from - from) * scale;
      if (clamped < gap.to) return place + ((clamped - gap.from) / (gap.to - gap.from)) * FOLD_WIDTH;
      place += FOLD_WIDTH;
      from = gap.to;
    }
    return place + (clamped - from) * scale;
  };
  return { at, folds: folded.map((gap) => ({ from: at(gap.from), to: at(gap.to), ms: gap.to - gap.from })) };
}
