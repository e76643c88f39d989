/** Paths: which page a path means, and a query as an object. Knows no DOM. */

/** Page by path; `:id` is a variable part. */
const ROUTES = /** @type {const} */ ([
  ["/", "overview"],
  ["/tasks", "tasks"],
  ["/task/:id", "task"],
  ["/servers", "servers"],
  ["/servers/:id", "server"],
  ["/failures", "failures"],
  ["/balance", "balance"],
  ["/stats", "stats"],
  ["/system", "system"],
  ["/signin", "signin"],
]);

/** @typedef {{page: string, params: Record<string, string>, query: Record<string, string>, path: string}} Route */

/**
 * @param {string} path below the root, with its leading slash
 * @param {string} search the query with its question mark, or empty
 * @returns {Route} `page` is `lost` for a path that is none
 */
export function routeOf(path, search) {
  const query = Object.fromEntries(new URLSearchParams(search));
  const parts = (path.length > 1 ? path.replace(/\/$/, "") : path).split("/");
  for (const [pattern, page] of ROUTES) {
    const wanted = pattern.split("/");
    if (wanted.length !== parts.length) continue;
    /** @type {Record<string, string>} */
    const params = {};
    const fits = wanted.every((part, index) => {
      if (!part.startsWith(":")) return part === parts[index];
      const given = unescaped(parts[index]);
      params[part.slice(1)] = given;
      return given !== "";
    });
    if (fits) return { page, params, query, path };
  }
  return { page: "lost", params: {}, query, path };
}

/** @param {string} text */
function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
