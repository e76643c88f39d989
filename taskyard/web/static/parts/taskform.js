/**
 * Edit and resubmit: a task's whole submission as a form and as JSON. The payload's text is taken and sent as it stands,
 * so that no number is rounded and no key moves.
 */

import { at, get, post } from "../core/api.js";
import { t } from "../core/i18n.js";
import { isObject, member, seen } from "../core/json.js";
import { html, useState } from "../vendor/preact.js";
import { FormDialog, open } from "./dialog.js";
import { Field, Words } from "./form.js";
import { toast } from "./toast.js";

/** Members that are plain numbers in the form. */
const NUMBERS = /** @type {const} */ (["priority", "timeout", "maxRetries"]);

/** The form of a task. @param {any} task @param {string} raw the text it came in @param {any} changes */
function filled(task, raw, changes) {
  return {
    type: task.type, group: task.group ?? "", serverId: "", capabilities: task.capabilities, tags: task.tags,
    priority: String(task.priority), timeout: String(task.timeout), maxRetries: String(task.maxRetries),
    payload: payloadOf(raw), metadata: task.metadata === null ? "" : (member(raw, "metadata") ?? ""), resubmitOf: task.id,
    ...("group" in changes ? { group: changes.group ?? "" } : {}),
  };
}

/** @param {string} raw */
function payloadOf(raw) {
  const payload = member(raw, "payload");
  return payload === null || payload === "null" ? "{}" : payload;
}

/** The submission's text, payload and metadata as they stand. @param {any} form */
export function submission(form) {
  /** @type {string[]} */
  const members = [`"type": ${JSON.stringify(form.type)}`, `"payload": ${form.payload.trim()}`];
  for (const name of NUMBERS) if (form[name] !== "") members.push(`"${name}": ${Number(form[name])}`);
  for (const name of ["capabilities", "tags"]) if (form[name].length) members.push(`"${name}": ${JSON.stringify(form[name])}`);
  for (const name of ["group", "serverId"]) if (form[name]) members.push(`"${name}": ${JSON.stringify(form[name])}`);
  if (form.metadata.trim()) members.push(`"metadata": ${form.metadata.trim()}`);
  if (form.resubmitOf) members.push(`"resubmitOf": ${JSON.stringify(form.resubmitOf)}`);
  return `{\n  ${members.join(",\n  ")}\n}`;
}

/** @param {{first: any, close: () => void, go: (path: string) => void}} props */
function TaskForm({ first, close, go }) {
  const [form, setForm] = useState(first);
  const [text, setText] = useState(/** @type {string | null} */ (null));
  const set = (/** @type {string} */ name) => (/** @type {any} */ value) => setForm((/** @type {any} */ now) => ({ ...now, [name]: value }));
  const wrong = isObject(text ?? form.payload) ? "" : t("taskform.no_object");
  // Such characters may even reorder what is seen beside them, so they are told.
  const unseen = [...new Set(seen(text ?? form.payload).filter((_, at) => at % 2))];
  const submit = async () => {
    const { data } = await post("/api/task", text ?? submission(form), { headers: { Prefer: "handling=strict" } });
    close();
    toast({ text: t("taskform.done"), action: { label: t("taskform.open"), run: () => go(`/task/${data.id}`) } });
  };
  return html`<${FormDialog} wide title=${t("taskform.title")} action=${t("taskform.do")} onSubmit=${submit} onClose=${close} disabled=${Boolean(wrong)}>
    <p class="muted">${t("taskform.text")}</p>
    <div class="segments" role="group" aria-label=${t("taskform.as")}>
      <button type="button" aria-pressed=${text === null} onClick=${() => setText(null)}>${t("taskform.form")}</button>
      <button type="button" aria-pressed=${text !== null} onClick=${() => setText(text ?? submission(form))}>JSON</button>
    </div>
    ${text !== null
      ? html`<${Field} label=${t("taskform.json")} value=${text} onInput=${setText} rows=${16} mono required error=${wrong} hint=${unseen.length ? t("taskform.unseen", { what: unseen.join(" ") }) : t("taskform.json_hint")} />`
      : html`<div class="fields">
        <${Field} label=${t("taskform.payload")} value=${form.payload} onInput=${set("payload")} rows=${8} mono required error=${wrong} hint=${unseen.length ? t("taskform.unseen", { what: unseen.join(" ") }) : null} autofocus />
        <div class="pair">
          <${Field} label=${t("task.type")} value=${form.type} onInput=${set("type")} required />
          <${Field} label=${t("task.priority")} value=${form.priority} onInput=${set("priority")} type="number" min=${0} max=${10} required hint=${t("taskform.priority_hint")} />
        </div>
        <${Words} label=${t("task.capabilities")} words=${form.capabilities} onChange=${set("capabilities")} />
        <div class="pair">
          <${Field} label=${t("task.group")} value=${form.group} onInput=${set("group")} />
          <${Field} label=${t("taskform.server")} value=${form.serverId} onInput=${set("serverId")} mono hint=${t("taskform.server_hint")} />
        </div>
        <div class="pair">
          <${Field} label=${t("taskform.timeout")} value=${form.timeout} onInput=${set("timeout")} type="number" min=${1} />
          <${Field} label=${t("taskform.retries")} value=${form.maxRetries} onInput=${set("maxRetries")} type="number" min=${0} max=${100} />
        </div>
        <${Words} label=${t("task.tags")} words=${form.tags} onChange=${set("tags")} />
        <${Field} label=${t("task.metadata")} value=${form.metadata} onInput=${set("metadata")} rows=${2} mono />
      </div>`}
  </${FormDialog}>`;
}

/**
 * Opens the form of a task that is to be submitted anew. Raises `ApiError` when the task cannot be had.
 * @param {string} id @param {{changes?: any, go?: (path: string) => void}} [options] `changes`: what is proposed
 */
export async function taskDialog(id, { changes = {}, go } = {}) {
  const { data, raw } = await get(`/api/task/${encodeURIComponent(id)}?include=payload`);
  const first = filled(data, raw, changes);
  open((close) => html`<${TaskForm} first=${first} close=${close} go=${go ?? ((/** @type {string} */ path) => location.assign(at(path)))} />`);
}
