/** Sign in: a token goes into a cookie that no script can read. */

import { clock } from "../core/format.js";
import { t } from "../core/i18n.js";
import { now } from "../core/live.js";
import { claimsOf, session, signIn } from "../core/session.js";
import { go, to } from "../nav.js";
import { Copy } from "../parts/copy.js";
import { Mark } from "../parts/icon.js";
import { html, useEffect, useState } from "../vendor/preact.js";

export const COMMAND = "taskyard token --role admin";

/** @param {{query: Record<string, string>}} props `from`: where to go then */
export default function SignIn({ query }) {
  // A path of this dashboard, and nothing else: `//elsewhere` would be another host.
  const from = /^\/(?![/\\])/.test(query.from ?? "") ? query.from : "/";
  useEffect(() => {
    document.title = `${t("signin.title")} · Taskyard`;
    if (session.value) go(from, { replace: true });
  }, []);
  return html`<main class="alone" id="main">
    <a class="brand" href=${to("/signin")}><${Mark} />Taskyard</a>
    <div class="card">
      <h1 id="page-title" tabindex="-1">${t("signin.title")}</h1>
      <${SignInForm} onDone=${() => go(from, { replace: true })} />
    </div>
  </main>`;
}

/** @param {{onDone: () => void}} props */
export function SignInForm({ onDone }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (busy) return;
    const wrong = faultOf(token);
    setError(wrong);
    if (wrong) return;
    setBusy(true);
    try {
      await signIn(token);
      onDone();
    } catch (problem) {
      setError(wordsOf(/** @type {any} */ (problem)));
      setBusy(false);
    }
  };
  useEffect(() => document.getElementById("token")?.focus(), []);
  return html`<form onSubmit=${submit} novalidate>
    <input type="text" autocomplete="username" hidden aria-hidden="true" />
    <label for="token">${t("signin.token")}
      <input id="token" type="password" autocomplete="current-password" data-first spellcheck=${false} value=${token}
        aria-describedby="signin-hint signin-error" aria-invalid=${error ? "true" : null}
        onInput=${(/** @type {any} */ event) => setToken(event.target.value)} />
    </label>
    <p class="form-error" id="signin-error" role="alert">${error}</p>
    <button type="submit" class="button primary" aria-disabled=${busy}>${t("signin.do")}</button>
    <p class="muted small" id="signin-hint">${t("signin.hint")}</p>
    <div class="command"><code>${COMMAND}</code><${Copy} text=${COMMAND} what=${t("signin.command")} /></div>
  </form>`;
}

/** What is wrong with a token, as far as that can be seen here; empty when nothing is. @param {string} token */
function faultOf(token) {
  if (!token.trim()) return t("signin.empty");
  const claims = claimsOf(token);
  if (!claims) return t("signin.none");
  const exp = (claims.exp ?? 0) * 1000;
  return exp && exp + 30_000 < now.value ? t("signin.expired", { at: clock(exp) }) : "";
}

/** @param {import("../core/api.js").ApiError} problem */
function wordsOf(problem) {
  if (problem.status === 0) return t("signin.unreachable");
  if (problem.status === 401) return t("signin.other_key");
  if (problem.status === 403 && problem.error.includes("role")) return t("signin.no_role");
  if (problem.status === 403 && problem.error.includes("HTTPS")) return t("signin.no_https");
  return problem.details || problem.message;
}
