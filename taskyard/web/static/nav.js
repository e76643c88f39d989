/** Where one is: the route as a signal, and the ways to another. The address bar holds all of a page's state. */

import { at } from "./core/api.js";
import { routeOf } from "./core/router.js";
import { signal } from "./vendor/preact.js";

let root = "/";

/** @type {import("./vendor/preact.js").Signal<import("./core/router.js").Route>} */
export const route = signal(routeOf("/", ""));
/** Counts the changes of page, not those of a page's query. */
export const arrivals = signal(0);

/** Follows the address from now on. @param {string} base the path of the node's root */
export function follow(base) {
  root = base;
  read();
  addEventListener("popstate", read);
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = /** @type {Element} */ (event.target).closest?.("a[href]");
    if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download")) return;
    const path = pathOf(link.href);
    if (path === null || routeOf(path, "").page === "lost") return;
    event.preventDefault();
    go(path + new URL(link.href).search);
  });
}

/** A URL's path below the root; `null` when it is elsewhere. @param {string} url */
function pathOf(url) {
  const { origin, pathname } = new URL(url);
  if (origin !== location.origin || !pathname.startsWith(root)) return null;
  return `/${pathname.slice(root.length)}`;
}

function read() {
  const before = route.peek();
  const next = routeOf(pathOf(location.href) ?? "/", location.search);
  route.value = next;
  if (next.path !== before.path) {
    arrivals.value += 1;
    scrollTo(0, 0);
  }
}

/** The href of a path of the dashboard, such as `/tasks?status=FAILED`. @param {string} path */
export const to = (path) => at(path);

/** Goes to a path of the dashboard. @param {string} path @param {{replace?: boolean}} [how] */
export function go(path, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", at(path));
  else history.pushState(null, "", at(path));
  read();
}

/**
 * Changes members of the query; empty ones go away. In place, unless `push`: then Back undoes it.
 * @param {Record<string, string | number | null | undefined>} changes @param {{push?: boolean}} [how]
 */
export function setQuery(changes, { push = false } = {}) {
  const given = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") given.delete(name);
    else given.set(name, String(value));
  }
  const query = given.toString();
  go(route.peek().path + (query ? `?${query}` : ""), { replace: !push });
}
