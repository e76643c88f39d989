/** Series that grow at their end, a point at a time: columns of one length, times in `t`. Knows no DOM. */

/** @typedef {{t: number[]} & Record<string, (number | null)[]>} Series */

/**
 * A series with a point more, or its last one anew; what was missed in between is a gap.
 * @param {Series} series @param {Record<string, number | null> & {t: number}} point
 * @param {number} step ms between two points @param {number} most points kept, the latest
 * @returns {Series} the same one for a point that is older than its end
 */
export function grown(series, point, step, most) {
  const last = series.t.at(-1) ?? point.t - step;
  if (point.t < last) return series;
  const kept = point.t === last ? series.t.length - 1 : series.t.length;
  const missed = Math.min(most, Math.ceil((point.t - last) / step) - 1);
  const times = Array.from({ length: Math.max(0, missed) }, (_, at) => point.t - (missed - at) * step);
  const next = /** @type {Series} */ ({ t: [] });
  for (const name of Object.keys(series)) {
    const between = name === "t" ? times : times.map(() => null);
    next[name] = [...series[name].slice(0, kept), ...between, point[name]].slice(-most);
  }
  return next;
}
