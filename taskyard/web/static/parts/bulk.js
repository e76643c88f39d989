/**
 * Retrying or cancelling many tasks: what it will do is counted first and said; then it goes on behind a toast with
 * progress and Stop.
 */

import { del, get, post } from "../core/api.js";
import { t } from "../core/i18n.js";
import { html } from "../vendor/preact.js";
import { ask } from "./dialog.js";
import { TASK_STATUS } from "./status.js";
import { failed, toast } from "./toast.js";

const POLL_MS = 500;

/**
 * @typedef {"retry" | "cancel"} What
 * @typedef {{ids: string[]} | {filter: Record<string, unknown>} | {group: string}} Which
 */

/** By what the figures are counted: "31 failed, 2 timeout". @param {Record<string, number>} byStatus */
function told(byStatus) {
  return Object.entries(byStatus)
    .map(([status, n]) => t("bulk.of", { n, status: t(`status.${TASK_STATUS[status] ?? status}`) }))
    .join(t("parts.joint"));
}

/**
 * Counts, asks, does. Errors become a toast.
 * @param {What} what @param {Which} which @param {() => void} [then] called when all is done
 */
export async function bulk(what, which, then) {
  try {
    const { data } = await post(`/api/tasks/${what}`, { ...which, dryRun: true });
    if (!data.changed) {
      toast({ text: t(data.matched ? `bulk.${what}_none` : "bulk.nothing", { n: data.matched }) });
      return;
    }
    ask({
      title: t(`bulk.${what}_title`, { n: data.changed }),
      text: html`<p>${t(`bulk.${what}_text`, { n: data.changed })}</p>
        <p class="muted">${told(data.byStatus)}${data.skipped > 0 && html`<br />${t(`bulk.${what}_skipped`, { n: data.skipped })}`}</p>`,
      action: t(`bulk.${what}_do`, { n: data.changed }),
      danger: what === "cancel",
      run: async () => follow(what, (await post(`/api/tasks/${what}`, which)).data, data.matched, then),
    });
  } catch (error) {
    failed(/** @type {Error} */ (error));
  }
}

/**
 * @param {What} what @param {{bulkId: string | null, changed: number, skipped: number}} answer @param {number} of
 * @param {(() => void) | undefined} then
 */
function follow(what, answer, of, then) {
  const over = (/** @type {{changed: number, skipped: number, state?: string, error?: string | null}} */ job) => {
    const words = [t(`bulk.${what}_done`, { n: job.changed })];
    if (job.state === "stopped") words.push(t("bulk.stopped"));
    if (job.skipped) words.push(t(`bulk.${what}_skipped`, { n: job.skipped }));
    then?.();
    return { text: words.join(" "), progress: undefined, action: undefined };
  };
  if (answer.bulkId === null) {
    toast(over(answer));
    return;
  }
  const path = `/api/bulk/${answer.bulkId}`;
  const stop = { label: t("bulk.stop"), run: () => del(path).catch(failed) };
  const going = (/** @type {{changed: number, skipped: number}} */ job) => ({
    text: t(`bulk.${what}_going`, { done: job.changed + job.skipped, of }),
    progress: { done: job.changed + job.skipped, of },
  });
  const shown = toast({ ...going(answer), action: stop });
  const look = async () => {
    try {
      const { data } = await get(path);
      if (data.state === "running") {
        shown.update(going(data));
        setTimeout(look, POLL_MS);
      } else if (data.state === "failed") {
        shown.close();
        failed({ message: data.error });
        then?.();
      } else {
        shown.close();
        toast(over(data));
      }
    } catch (error) {
      shown.close();
      failed(/** @type {Error} */ (error));
    }
  };
  setTimeout(look, POLL_MS);
}
