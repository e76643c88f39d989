/** Who is signed in, and what they may do. Knows no DOM. */

import { computed, signal } from "../vendor/preact.js";
import { del, post } from "./api.js";

/** @typedef {{sub: string, roles: string[], exp: number}} Session `exp` in ms */

/** @type {import("../vendor/preact.js").Signal<Session | null>} */
export const session = signal(/** @type {Session | null} */ (null));
/** True from when a call was refused for want of a session until someone signs in: the page stays as it is. */
export const ended = signal(false);
export const isAdmin = computed(() => session.value?.roles.includes("admin") ?? false);
/** A user without rights does not see what it may not do. */
export const isUser = computed(() => session.value?.roles.some((role) => role !== "service") ?? false);

/** Keeps a token as the session. Raises `ApiError`. @param {string} token */
export async function signIn(token) {
  const { data } = await post("/api/session", { token: token.trim() });
  session.value = data;
  ended.value = false;
}

/** Forgets the session. */
export async function signOut() {
  await del("/api/session");
  session.value = null;
}

/**
 * What a token says of itself, so far as that can be read without its key: `null` when it is none.
 * @param {string} token
 * @returns {{exp?: number} | null} `exp` in s
 */
export function claimsOf(token) {
  const parts = token.trim().split(".");
  if (parts.length !== 3) return null;
  try {
    const bytes = Uint8Array.from(atob(parts[1].replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === "object" && claims !== null ? claims : null;
  } catch {
    return null;
  }
}
