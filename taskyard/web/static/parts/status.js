/**
 * A status as shape and word in its colour. Colour is never alone: the word stands beside it or is the picture's name.
 */

import { t } from "../core/i18n.js";
import { html } from "../vendor/preact.js";

/** What the wire calls a task's status -> what it is called here (class, dictionary, shape). */
export const TASK_STATUS = {
  PENDING: "waiting",
  PROCESSING: "running",
  COMPLETED: "completed",
  FAILED: "failed",
  TIMEOUT: "timeout",
  CANCELLED: "cancelled",
};

// 16 x 16; stroke and fill are set by the class.
const SHAPES = {
  waiting: () => html`<circle cx="8" cy="8" r="5.5" /><path d="M8 5v3.2l2 1.6" />`,
  running: () => html`<circle cx="8" cy="8" r="5.5" /><path class="solid" d="M8 2.5a5.5 5.5 0 0 1 0 11z" />`,
  completed: () => html`<path d="M2.8 8.6l3.4 3.4 7-7.6" />`,
  failed: () => html`<path d="M3.5 3.5l9 9m0-9l-9 9" />`,
  timeout: () => html`<path d="M4 2.5h8M4 13.5h8M4.8 2.5c0 4 6.4 7 6.4 11M11.2 2.5c0 4-6.4 7-6.4 11" />`,
  cancelled: () => html`<circle cx="8" cy="8" r="5.5" /><path d="M4.2 11.8l7.6-7.6" />`,
  online: () => html`<circle class="solid" cx="8" cy="8" r="4.5" />`,
  degraded: () => html`<path class="solid" d="M8 3l5.5 10h-11z" />`,
  offline: () => html`<path d="M3.5 3.5l9 9m0-9l-9 9" />`,
  misconfigured: () => html`<circle cx="5.2" cy="8" r="2.7" /><path d="M8 8h6v2.6M11.4 8v2" />`,
  maintenance: () => html`<path d="M8 2.2L13.8 8 8 13.8 2.2 8z" />`,
  draining: () => html`<path d="M8 1.6L12 5.6 8 9.6 4 5.6zM8 10.5v4m-2.2-2L8 14.7l2.2-2.2" />`,
  initializing: () => html`<circle class="dashed" cx="8" cy="8" r="5.2" />`,
  declined: () => html`<path d="M3 8h10" />`,
  unreached: () => html`<path d="M2.5 8h3.4m4.2 0h3.4M6.6 5l2.8 6" />`,
  lost: () => html`<path d="M5.6 6a2.4 2.4 0 1 1 3.6 2.1c-.8.5-1.2.9-1.2 1.9m0 2.4v.4" />`,
};

/**
 * @param {{name: keyof typeof SHAPES, label?: string}} props `label`: the picture's name where no word stands beside it
 */
export function Shape({ name, label }) {
  return html`<svg class=${`shape s-${name}`} viewBox="0 0 16 16" width="16" height="16" role=${label ? "img" : null}
    aria-label=${label} aria-hidden=${label ? null : "true"}>${(SHAPES[name] ?? SHAPES.lost)()}</svg>`;
}

/** @param {{name: string, quiet?: boolean}} props `quiet`: the word for screen readers only */
export function Status({ name, quiet }) {
  const word = t(`status.${name}`);
  return html`<span class=${`status s-${name}`} title=${quiet ? word : null}>
    <${Shape} name=${name} label=${quiet ? word : undefined} />${quiet ? null : html`<span>${word}</span>`}
  </span>`;
}

/** @param {{status: string}} task @returns {string} */
export function taskStatus(task) {
  return TASK_STATUS[task.status] ?? "waiting";
}

/** A server's status by name; one that refuses our key is that first. @param {{status: string, misconfigured?: boolean}} server */
export function serverStatus(server) {
  return server.misconfigured && server.status !== "maintenance" ? "misconfigured" : server.status;
}
