/**
 * Calls of the API: a path in, parsed JSON and the raw text out. Knows no DOM, and nothing of what is called.
 */

/** An answer that is no 2xx, or none at all (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {{error?: string, details?: string, requestId?: string, status?: string}} body
   * @param {number} retryAfterMs
   */
  constructor(status, body, retryAfterMs = 0) {
    super(body.error ?? `HTTP ${status}`);
    this.status = status;
    this.error = body.error ?? "";
    this.details = body.details ?? "";
    this.requestId = body.requestId ?? "";
    /** With 409: the task's or server's status. */
    this.state = body.status ?? "";
    this.retryAfterMs = retryAfterMs;
  }
}

/** @typedef {{data: any, raw: string, status: number, headers: Headers}} Answer */
/** @typedef {{body?: unknown, signal?: AbortSignal, headers?: Record<string, string>}} Options */

let root = "/";
let speaks = "en";
/** @type {() => void} */
let onSignedOut = () => {};

/**
 * Says where the API is, in which language it answers, and what to do when the session has ended.
 * @param {{root?: string, language?: string, onSignedOut?: () => void}} settings `root` ends in a slash
 */
export function configure(settings) {
  root = settings.root ?? root;
  speaks = settings.language ?? speaks;
  onSignedOut = settings.onSignedOut ?? onSignedOut;
}

/** A path of this node as a URL: `/tasks` below whatever prefix it is served. @param {string} path */
export function at(path) {
  return root + path.replace(/^\//, "");
}

/**
 * A path with a query; members that are null, undefined or empty stay out.
 * @param {string} path
 * @param {Record<string, string | number | boolean | null | undefined>} query
 */
export function withQuery(path, query) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") given.append(name, String(value));
  }
  return given.size ? `${path}?${given}` : path;
}

/**
 * One call. Raises `ApiError`; a 401 also says that the session has ended.
 * @param {string} method
 * @param {string} path from the node's root, such as `/api/tasks`
 * @param {Options} [options] `body`: a value that becomes JSON, or a string that is JSON already
 * @returns {Promise<Answer>}
 */
export async function call(method, path, { body, signal, headers } = {}) {
  const changes = method !== "GET";
  /** @type {RequestInit} */
  const request = {
    method,
    signal,
    headers: { "Accept-Language": speaks, ...(changes ? { "Content-Type": "application/json" } : {}), ...headers },
  };
  if (body !== undefined) request.body = typeof body === "string" ? body : JSON.stringify(body);
  /** @type {Response} */
  let response;
  try {
    response = await fetch(at(path), request);
  } catch (problem) {
    if (signal?.aborted) throw problem;
    throw new ApiError(0, { error: "unreachable" });
  }
  const raw = await response.text();
  const data = parsed(raw);
  if (response.ok) return { data, raw, status: response.status, headers: response.headers };
  if (response.status === 401 && !(changes && path === "/api/session")) onSignedOut();
  const after = Number(response.headers.get("Retry-After") ?? 0) * 1000;
  throw new ApiError(response.status, data ?? {}, Number.isFinite(after) ? after : 0);
}

/** @param {string} raw */
function parsed(raw) {
  try {
    return JSON.parse(raw);
  } catch {
    return undefined;
  }
}

/** @param {string} path @param {Options} [options] */
export const get = (path, options) => call("GET", path, options);
/** @param {string} path @param {unknown} [body] @param {Options} [options] */
export const post = (path, body = {}, options) => call("POST", path, { ...options, body });
/** @param {string} path @param {unknown} [body] @param {Options} [options] */
export const put = (path, body = {}, options) => call("PUT", path, { ...options, body });
/** @param {string} path @param {unknown} [body] @param {Options} [options] */
export const patch = (path, body = {}, options) => call("PATCH", path, { ...options, body });
/** @param {string} path @param {Options} [options] */
export const del = (path, options) => call("DELETE", path, options);
