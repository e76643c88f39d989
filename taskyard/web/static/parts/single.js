/** Retrying or cancelling one task. */

import { post } from "../core/api.js";
import { t } from "../core/i18n.js";
import { ask } from "./dialog.js";
import { failed, toast } from "./toast.js";

/** One task is retried at once; ending it asks first. @param {"retry" | "cancel"} what @param {string} id @param {() => void} done */
export async function single(what, id, done) {
  const run = async () => {
    await post(`/api/task/${encodeURIComponent(id)}/${what}`);
    toast({ text: t(`task.${what}_done`) });
    done();
  };
  if (what === "retry") return run().catch(failed);
  ask({ title: t("task.cancel_title"), text: t("task.cancel_text"), action: t("task.cancel_do"), danger: true, run });
}
