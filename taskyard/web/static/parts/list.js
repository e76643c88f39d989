/**
 * What a list of rows has beside its rows: a cursor that keys move, and a selection. Ids are kept, not places, so that
 * neither moves when rows come and go.
 */

import { keys } from "../core/keys.js";
import { signal, useLayoutEffect, useMemo, useRef } from "../vendor/preact.js";

/**
 * @typedef {{
 *   cursor: import("../vendor/preact.js").Signal<string | null>,
 *   selected: import("../vendor/preact.js").Signal<Set<string>> | {value: undefined},
 *   ids: () => string[], move: (by: number, extend?: boolean) => void,
 *   toggle: (id: string, range?: boolean) => void, select: (ids: string[]) => void
 * }} List
 */

/**
 * @param {() => string[]} ids the rows' ids as they stand now
 * @returns {List & {selected: import("../vendor/preact.js").Signal<Set<string>>}}
 */
function make(ids) {
  /** @type {import("../vendor/preact.js").Signal<string | null>} */
  const cursor = signal(null);
  const selected = signal(/** @type {Set<string>} */ (new Set()));
  /** @type {string | null} */
  let anchor = null;
  return {
    cursor,
    selected,
    ids,
    move(by, extend) {
      const all = ids();
      if (!all.length) return;
      const at = cursor.value === null ? -1 : all.indexOf(cursor.value);
      const to = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
      if (extend && cursor.value) selected.value = new Set([...selected.value, cursor.value, all[to]]);
      cursor.value = all[to];
    },
    toggle(id, range) {
      const all = ids();
      const next = new Set(selected.value);
      const from = anchor === null ? -1 : all.indexOf(anchor);
      if (range && from >= 0) {
        const to = all.indexOf(id);
        for (const one of all.slice(Math.min(from, to), Math.max(from, to) + 1)) next.add(one);
      } else if (next.has(id)) next.delete(id);
      else next.add(id);
      anchor = id;
      selected.value = next;
    },
    select(chosen) {
      selected.value = new Set(chosen);
    },
  };
}

/** A list's cursor and selection, kept while the component stands. @param {() => string[]} ids */
export function useList(ids) {
  const now = { ids };
  const kept = useMemo(() => ({ ids, list: make(() => kept.ids()) }), []);
  kept.ids = now.ids;
  return kept.list;
}

/** The list that the task on screen was opened from, for the way to its neighbours and back. */
export const trail = signal({ ids: /** @type {string[]} */ ([]), back: "" });

/** Binds keys while the component stands; what they do is taken anew at each drawing. @param {Record<string, () => unknown>} bindings */
export function useKeys(bindings) {
  const latest = useRef(bindings);
  latest.current = bindings;
  // As soon as the page is there: whoever sees it may press a key.
  useLayoutEffect(
    () => keys.bind(Object.fromEntries(Object.keys(bindings).map((key) => [key, () => latest.current[key]?.()]))),
    [Object.keys(bindings).join()],
  );
}

/** The keys of a list. @param {ReturnType<typeof make>} list */
export function listKeys(list) {
  const chosen = () => (list.cursor.value ? list.toggle(list.cursor.value) : false);
  return {
    j: () => list.move(1),
    k: () => list.move(-1),
    ArrowDown: () => list.move(1),
    ArrowUp: () => list.move(-1),
    "shift+ArrowDown": () => list.move(1, true),
    "shift+ArrowUp": () => list.move(-1, true),
    x: chosen,
  };
}
