/**
 * Which rows of a long list are in the document: those on screen and a few around them. Pure arithmetic, px and rows.
 */

/** Lists up to this length stand in the document whole. */
export const WHOLE_MOST = 200;
const AROUND = 6;

/**
 * @typedef {{from: number, to: number, above: number, below: number}} Window rows [from, to) and the px beside them
 */

/**
 * The window of a list.
 * @param {number} count rows in the list
 * @param {number} height px of a row, the same for all
 * @param {number} top where the list's first row stands, px from the viewport's top (negative: scrolled past)
 * @param {number} viewport px of the viewport's height
 * @returns {Window}
 */
export function visible(count, height, top, viewport) {
  if (count <= WHOLE_MOST) return { from: 0, to: count, above: 0, below: 0 };
  const first = Math.floor(-top / height) - AROUND;
  const shown = Math.ceil(viewport / height) + 2 * AROUND;
  const from = Math.max(0, Math.min(first, count - shown));
  const to = Math.min(count, Math.max(from, first) + shown);
  return { from, to, above: from * height, below: (count - to) * height };
}
