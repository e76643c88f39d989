/**
 * A table of rows of one height, of which only those near the screen are in the document. On a phone a row is a card
 * of two lines (parts.css); the roles are written out because `display` takes them from a table.
 */

import { t } from "../core/i18n.js";
import { visible } from "../core/window.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";

const ROW_PX = 36;
/** A screen that has not moved for so long is being read. */
const SETTLED_MS = 300;

/**
 * @template Row
 * @typedef {{key: string, title: unknown, cell: (row: Row, index: number) => unknown, num?: boolean, class?: string,
 *   sort?: () => void, sorted?: "ascending" | "descending"}} Column `class` says where it stands on a phone: lead, side,
 *   sub (default) or wide-only; one column is `main` and holds the row's link
 */

/**
 * @template Row
 * @param {{columns: Column<Row>[], rows: Row[], id: (row: Row) => string, label: string, list?: import("./list.js").List,
 *   mark?: (row: Row) => string, onOpen?: (row: Row) => void, onTop?: (row: number) => void}} props `onTop`: told the first
 *   row on screen, a while after it is another
 */
export function Table({ columns, rows, id, label, list, mark, onOpen, onTop }) {
  /** @type {import("../vendor/preact.js").RefObject<HTMLTableSectionElement>} */
  const body = useRef(null);
  const { window: shown, height } = useWindow(body, rows.length, onTop);
  const chosen = list?.selected.value;
  const cursor = list?.cursor.value;
  const all = chosen !== undefined && rows.length > 0 && rows.every((row) => chosen.has(id(row)));
  const some = chosen !== undefined && chosen.size > 0 && !all;
  useCursor(body, cursor, rows, id, shown, height);
  return html`<table class="table" role="table" aria-label=${label} aria-rowcount=${rows.length + 1}>
    <thead role="rowgroup"><tr role="row" aria-rowindex="1">
      ${list && chosen && html`<th role="columnheader" class="check"><input type="checkbox" aria-label=${t("parts.select_shown")}
        checked=${all} indeterminate=${some} onChange=${() => list.select(all ? [] : rows.map(id))} /></th>`}
      ${columns.map(
        (column) => html`<th key=${column.key} role="columnheader" scope="col" class=${`c-${column.key}${column.num ? " num" : ""}`}
          aria-sort=${column.sorted}>
          ${column.sort ? html`<button type="button" class="sort" onClick=${column.sort}>${column.title}</button>` : column.title}
        </th>`,
      )}
    </tr></thead>
    <tbody ref=${body} role="rowgroup">
      ${shown.above > 0 && html`<tr aria-hidden="true" class="beyond" style=${{ height: `${shown.above}px` }}></tr>`}
      ${rows.slice(shown.from, shown.to).map((row, place) => {
        const index = shown.from + place;
        const key = id(row);
        const picked = chosen?.has(key);
        return html`<tr key=${key} role="row" aria-rowindex=${index + 2} aria-selected=${chosen ? Boolean(picked) : null}
          class=${`${mark?.(row) ?? ""} ${cursor === key ? "cursor" : ""}`} data-key=${key}
          onClick=${(/** @type {MouseEvent} */ event) => clicked(event, row, onOpen)}>
          ${list && chosen && html`<td role="cell" class="check"><input type="checkbox" checked=${picked} aria-label=${t("parts.select_row", { id: key })}
            onClick=${(/** @type {MouseEvent} */ event) => list.toggle(key, event.shiftKey)} /></td>`}
          ${columns.map(
            (column) => html`<td key=${column.key} role="cell" class=${`c-${column.key} ${column.num ? "num " : ""}${column.class ?? "sub"}`}>
              ${column.cell(row, index)}</td>`,
          )}
        </tr>`;
      })}
      ${shown.below > 0 && html`<tr aria-hidden="true" class="beyond" style=${{ height: `${shown.below}px` }}></tr>`}
    </tbody>
  </table>`;
}

/**
 * A click anywhere on a row opens it, but not one on a link, a button or a box, nor one that ends a selection of text.
 * @template Row
 * @param {MouseEvent} event @param {Row} row @param {((row: Row) => void) | undefined} onOpen
 */
function clicked(event, row, onOpen) {
  const on = /** @type {Element} */ (event.target);
  if (onOpen && !on.closest("a, button, input, label, select") && !String(getSelection())) onOpen(row);
}

/**
 * The rows near the screen, kept right while it scrolls; measured by the first row, so that large text works too.
 * @param {import("../vendor/preact.js").RefObject<HTMLTableSectionElement>} body @param {number} count @param {(row: number) => void} [onTop]
 */
function useWindow(body, count, onTop) {
  const [height, setHeight] = useState(ROW_PX);
  const [shown, setShown] = useState(() => visible(count, ROW_PX, 0, innerHeight));
  useLayoutEffect(() => {
    let asked = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let settling;
    const look = () => {
      asked = 0;
      if (!body.current) return;
      const row = body.current.querySelector("tr[data-key]");
      const px = row?.getBoundingClientRect().height || height;
      if (Math.abs(px - height) > 0.5) setHeight(px);
      const { top } = body.current.getBoundingClientRect();
      const next = visible(count, px, top, innerHeight);
      clearTimeout(settling);
      if (onTop) settling = setTimeout(() => onTop(Math.max(0, Math.floor(-top / px))), SETTLED_MS);
      setShown((now) => (now.from === next.from && now.to === next.to && now.below === next.below ? now : next));
    };
    const soon = () => {
      asked ||= requestAnimationFrame(look);
    };
    look();
    document.addEventListener("scroll", soon, { capture: true, passive: true });
    addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(asked);
      clearTimeout(settling);
      document.removeEventListener("scroll", soon, { capture: true });
      removeEventListener("resize", soon);
    };
  }, [count, height, onTop]);
  return { window: shown, height };
}

/**
 * Moves the focus to the row of the cursor when the cursor moves, scrolling there first when it is not in the document.
 * @template Row
 * @param {import("../vendor/preact.js").RefObject<HTMLTableSectionElement>} body @param {string | null | undefined} cursor
 * @param {Row[]} rows @param {(row: Row) => string} id @param {import("../core/window.js").Window} shown @param {number} height
 */
function useCursor(body, cursor, rows, id, shown, height) {
  const at = useRef(cursor);
  useEffect(() => {
    if (!cursor || at.current === cursor || !body.current) return;
    const row = [...body.current.children].find((one) => one instanceof HTMLElement && one.dataset.key === cursor);
    if (row) {
      at.current = cursor;
      row.scrollIntoView({ block: "nearest" });
      const link = row.querySelector("a") ?? row.querySelector("button, input");
      if (link instanceof HTMLElement) link.focus({ preventScroll: true });
    } else {
      const index = rows.findIndex((one) => id(one) === cursor);
      if (index >= 0) scrollBy(0, body.current.getBoundingClientRect().top + index * height - innerHeight / 2);
    }
  }, [cursor, shown]);
}
