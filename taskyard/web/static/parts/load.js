/**
 * What a page shows of one call: loaded when it stands, anew when its path changes, and again every so often while the
 * page is seen and not held. The old answer stays until the new one is there.
 */

import { get } from "../core/api.js";
import { t } from "../core/i18n.js";
import { now, state } from "../core/live.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { Empty, Loading } from "./empty.js";

/** A call is waited for so long, however often it would be made, in ms: then it is made anew. */
const PATIENCE_MS = 30_000;

/**
 * @typedef {{data: any, raw: string, at: number, error: import("../core/api.js").ApiError | null, loading: boolean, reload: () => Promise<void>}} Loaded
 *   `at`: when the data came, by the node's clock; with an error beside data, the data is the old one
 */

/**
 * @param {string | null} path `null`: nothing is asked
 * @param {{every?: number}} [how] `every`: ms between calls; without it only `reload` calls again
 * @returns {Loaded}
 */
export function useLoad(path, { every } = {}) {
  const [kept, setKept] = useState({ path: "", data: /** @type {any} */ (null), raw: "", at: 0, error: /** @type {any} */ (null) });
  const alive = useRef(/** @type {AbortController | null} */ (null));
  const since = useRef(0);
  const load = async () => {
    if (path === null) return;
    alive.current?.abort();
    const asked = new AbortController();
    alive.current = asked;
    since.current = Date.now();
    try {
      const { data, raw } = await get(path, { signal: asked.signal });
      if (!asked.signal.aborted) setKept({ path, data, raw, at: now.peek(), error: null });
    } catch (error) {
      if (!asked.signal.aborted) setKept((was) => ({ ...(was.path === path ? was : { path, data: null, raw: "", at: 0 }), error }));
    } finally {
      if (alive.current === asked) alive.current = null;
    }
  };
  useEffect(() => {
    void load();
    const timer = every && setInterval(() => {
      // A slow answer is waited for: asked again and again it would never come.
      const waits = alive.current && Date.now() - since.current < PATIENCE_MS;
      if (!document.hidden && state.peek() !== "held" && !waits) void load();
    }, every);
    return () => {
      clearInterval(timer);
      alive.current?.abort();
    };
  }, [path, every]);
  const same = kept.path === path;
  // Another filter's rows stay, dimmed, until the new ones are there; another page's do not.
  return { data: kept.data, raw: kept.raw, at: kept.at, error: same ? kept.error : null, loading: path !== null && !same, reload: load };
}

/**
 * What stands where nothing could be loaded: why, and the way on.
 * @param {{error: import("../core/api.js").ApiError, reload: () => unknown, missing?: {title: string, text: string}, children?: unknown}} props
 */
export function Problem({ error, reload, missing, children }) {
  if (error.status === 404 && missing) return html`<${Empty} title=${missing.title} text=${missing.text}>${children}</${Empty}>`;
  if (error.status === 403) return html`<${Empty} title=${t("problem.forbidden")} text=${error.details} />`;
  return html`<${Empty} title=${t(error.status === 0 ? "problem.unreachable" : "problem.failed")} text=${error.details || error.error}>
    <button type="button" class="button" onClick=${reload}>${t("problem.again")}</button>
  </${Empty}>`;
}

/** @param {import("../core/api.js").ApiError} error */
const why = (error) => (error.status === 0 ? t("problem.unreachable") : error.details || error.error || String(error.status));

/**
 * What is loaded, with a line above when it could not be loaded again, what is in its way, or grey bars meanwhile.
 * @param {{loaded: Loaded, missing?: {title: string, text: string}, children: (data: any) => unknown, rows?: number}} props
 */
export function Shown({ loaded, missing, children, rows }) {
  if (loaded.error && !loaded.data) return html`<${Problem} error=${loaded.error} reload=${loaded.reload} missing=${missing} />`;
  if (!loaded.data) return html`<${Loading} rows=${rows} />`;
  // The line has its place whether it is there or not, so that what stands below keeps its state.
  return [loaded.error && html`<p class="form-error">${t("problem.stale", { at: loaded.at, why: why(loaded.error) })}</p>`, children(loaded.data)];
}
