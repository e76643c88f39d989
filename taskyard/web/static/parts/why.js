/**
 * Why a task waits: the sentence, the way of the servers through the funnel, and the calls that would change it.
 */

import { t } from "../core/i18n.js";
import { html } from "../vendor/preact.js";

/**
 * @typedef {{step: string, count: number, servers?: {id: string, code: string}[]}} Step
 */

/**
 * How many servers each step leaves; the first zero is marked, amber where it is only that all are busy.
 * @param {{steps: Step[], words?: boolean}} props `words`: with what each step asks
 */
export function Funnel({ steps, words }) {
  const dry = steps.findIndex((step) => step.count === 0);
  return html`<ol class=${words ? "funnel words" : "funnel"} aria-label=${t("why.funnel")}>
    ${steps.map((step, at) => {
      const state = at === dry ? (step.step === "free" || step.step === "not_avoided" ? "busy" : "dry") : dry >= 0 && at > dry ? "after" : "";
      const name = t(`why.step.${step.step}`);
      const out = (step.servers ?? []).map((server) => `${server.id}: ${t(`why.out.${server.code}`)}`).join("\n");
      return html`<li key=${step.step} class=${state} title=${[name, out].filter(Boolean).join("\n")}>
        <b>${state === "after" ? "·" : step.count}</b> <span class=${words && state !== "after" ? "" : "offscreen"}>${name}</span>
      </li>`;
    })}
  </ol>`;
}

/** Servers that the steps left out, each with why. @param {{steps: Step[], link: (id: string) => string}} props */
export function LeftOut({ steps, link }) {
  const out = steps.flatMap((step) => step.servers ?? []);
  if (!out.length) return null;
  return html`<details class="left-out"><summary>${t("why.left_out", { n: out.length })}</summary><ul>
    ${out.map((server) => html`<li key=${server.id}><a href=${link(server.id)}>${server.id}</a> <span class="muted">${t(`why.out.${server.code}`)}</span></li>`)}
  </ul></details>`;
}

/**
 * A lane's reason in a few words, for a cell of a list.
 * @param {{code: string, params: Record<string, any>}} reason @param {number} now the node's clock, ms
 */
export function briefly({ code, params }, now) {
  const till = params.at === null || params.at === undefined ? null : Math.max(0, params.at - now);
  switch (code) {
    case "scheduled":
      return params.at ? t("why.brief.scheduled", { at: params.at }) : t("why.brief.scheduled_lane");
    case "no_capability":
      return t("why.brief.no_capability", { missing: list(params.missing) });
    case "no_group":
      return t("why.brief.no_group", { group: params.group });
    case "pinned":
    case "avoiding":
      return t(`why.brief.${code}`, { server: params.server });
    case "backoff":
    case "retry_budget":
      return t(`why.brief.${code}`, { span: till });
    case "full":
    case "all_down":
    case "misconfigured":
    case "declined":
    case "unreached":
      return params.count === 1 && params.servers?.length === 1
        ? t(`why.brief.${code}_one`, { server: params.servers[0] })
        : t(`why.brief.${code}`, { n: params.count });
    default:
      return t(`why.brief.${code}`);
  }
}

/** Names in a row. @param {string[]} names */
export function list(names) {
  return names.map((name) => t("parts.quoted", { name })).join(t("parts.joint"));
}
