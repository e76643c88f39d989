/** A node without servers: three steps, each ticked off when it is done. */

import { t } from "../core/i18n.js";
import { html } from "../vendor/preact.js";
import { to } from "../nav.js";
import { Copy } from "./copy.js";
import { Shape } from "./status.js";

const JSON_HEAD = "-H 'Content-Type: application/json'";

/** The commands, with this node's address in them and no token. */
function commands() {
  const origin = location.origin + to("/").replace(/\/$/, "");
  const head = `-H "Authorization: Bearer $TOKEN" ${JSON_HEAD}`;
  return {
    server: `export TOKEN=…\ncurl -X POST ${origin}/api/servers ${head} -d '{"name":"first","endpoints":{"predict":"http://127.0.0.1:9000/predict","health":"http://127.0.0.1:9000/health"},"capabilities":["echo"]}'`,
    task: `curl -X POST ${origin}/api/task ${head} -d '{"type":"echo","payload":{"message":"hello"},"capabilities":["echo"]}'`,
  };
}

/** @param {{servers: number, tasks: number, done: number}} props how many there are */
export function FirstSteps({ servers, tasks, done }) {
  const { server, task } = commands();
  const steps = [
    { name: "server", ready: servers > 0, command: server },
    { name: "task", ready: tasks > 0, command: task },
    { name: "result", ready: done > 0, command: "" },
  ];
  return html`<section class="card steps"><header><h2>${t("start.title")}</h2></header>
    <ol class="card-body">${steps.map(
      ({ name, ready, command }, at) => html`<li key=${name}>
        <h3><${Shape} name=${ready ? "completed" : "initializing"} label=${t(ready ? "start.done" : "start.open")} /> ${at + 1}. ${t(`start.${name}`)}</h3>
        <p class="muted">${t(`start.${name}_words`)}</p>
        ${command && html`<div class="command"><code>${command}</code><${Copy} text=${command} what=${t("signin.command")} /></div>`}
        ${name === "server" && html`<p><button type="button" class="button" onClick=${async () => (await import("./serverform.js")).serverDialog({})}>${t("start.form")}</button></p>`}
        ${name === "result" && html`<p><a href=${to("/tasks")}>${t("nav.tasks")}</a></p>`}
      </li>`,
    )}</ol></section>`;
}
