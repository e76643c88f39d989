/**
 * The calls that mend something, as buttons: those that `why`, failures and attention propose, by their codes. What can
 * be undone can be for 10 s.
 */

import { at, get, patch, post } from "../core/api.js";
import { t } from "../core/i18n.js";
import { html } from "../vendor/preact.js";
import { failed, toast } from "./toast.js";

/**
 * @typedef {{code: string, method: string, path: string, body: any}} Action as the API proposes it
 */

/** The server that an action is about, '' for none. @param {Action} action */
function serverOf({ path }) {
  const found = /^\/api\/servers\/([^/]+)/.exec(path);
  return found ? decodeURIComponent(found[1]) : "";
}

/** What an action does, in words. @param {Action} action */
export function named(action) {
  const server = serverOf(action);
  switch (action.code) {
    case "raise_limit":
      return t("action.raise_limit", { server, to: action.body.maxConcurrent });
    case "add_capability":
      return t("action.add_capability", { server, words: action.body.capabilities.join(", ") });
    default:
      return t(`action.${action.code}`, { server });
  }
}

/**
 * Does it, or opens the form that does.
 * @param {Action} action @param {() => void} [then]
 */
export async function act(action, then) {
  const server = serverOf(action);
  const done = () => then?.();
  try {
    switch (action.code) {
      case "register":
        return (await import("./serverform.js")).serverDialog({ preset: action.body, then: done });
      case "edit_task":
        return await (await import("./taskform.js")).taskDialog(action.body.resubmitOf, { changes: action.body });
      case "fix_key":
        return (await import("./serverform.js")).keyDialog(server, done);
      case "raise_limit":
      case "add_capability":
        return await changed(action, server, done);
      case "check_now":
        return await checkNow(server, done);
      default:
        await post(action.path, action.body ?? {});
        toast({ text: t(`action.${action.code}_done`, { server }) });
        done();
    }
  } catch (error) {
    failed(/** @type {Error} */ (error));
  }
}

/** Runs a check and says how it went. @param {string} server @param {() => void} [then] */
export async function checkNow(server, then) {
  const { data } = await post(`/api/servers/${encodeURIComponent(server)}/check`);
  toast(
    data.passed
      ? { text: t("server.check_passed", { server, status: t(`status.${data.status}`) }) }
      : { kind: "error", text: t("server.check_failed", { server, error: data.error ?? "" }) },
  );
  then?.();
}

/** A change of a server that the toast can take back. @param {Action} action @param {string} server @param {() => void} done */
async function changed(action, server, done) {
  const before = (await get(action.path)).data;
  await patch(action.path, action.body);
  const back = Object.fromEntries(Object.keys(action.body).map((name) => [name, before[name]]));
  toast({
    text: t(`action.${action.code}_done`, { server, to: action.body.maxConcurrent }),
    action: { label: t("parts.undo"), run: () => patch(action.path, back).then(done, failed) },
  });
  done();
}

/** @param {{actions: Action[], then?: () => void, most?: number}} props the first ones, `most` of them */
export function Actions({ actions, then, most = 3 }) {
  if (!actions.length) return null;
  return html`<div class="actions">${actions.slice(0, most).map((action) => {
    if (action.code === "open_server")
      return html`<a key=${action.path} class="button" href=${at(`/servers/${encodeURIComponent(serverOf(action))}`)}>${named(action)}</a>`;
    if (action.code === "ready") return html`<a key="ready" class="button" href=${at("/system")}>${named(action)}</a>`;
    return html`<button key=${action.code + action.path} type="button" class="button" onClick=${() => act(action, then)}>${named(action)}</button>`;
  })}</div>`;
}
