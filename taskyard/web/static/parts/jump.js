/** Ctrl K: to a page, a task by its id, a server or a type, by a few letters. */

import { get } from "../core/api.js";
import { t } from "../core/i18n.js";
import { go } from "../nav.js";
import { html, useEffect, useMemo, useState } from "../vendor/preact.js";
import { Dialog, open } from "./dialog.js";
import { PLACES } from "./frame.js";

const MOST = 12;

/** @typedef {{path: string, words: string, kind: string}} Goal */

/** Opens the box. */
export function jump() {
  open((close) => html`<${Dialog} title=${t("jump.title")} onClose=${close}><${Box} close=${close} /></${Dialog}>`);
}

/** @param {{close: () => void}} props */
function Box({ close }) {
  const [text, setText] = useState("");
  const [servers, setServers] = useState(/** @type {{id: string, name: string}[]} */ ([]));
  const [chosen, setChosen] = useState(0);
  useEffect(() => {
    get("/api/servers").then(
      ({ data }) => setServers(data.servers),
      () => {},
    );
  }, []);
  const goals = useMemo(() => goalsOf(text, servers), [text, servers]);
  const to = (/** @type {Goal | undefined} */ goal) => {
    if (!goal) return;
    close();
    go(goal.path);
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setChosen((chosen + step + goals.length) % Math.max(1, goals.length));
    else if (event.key === "Enter") to(goals[chosen]);
    else return;
    event.preventDefault();
  };
  return html`<div class="dialog-content">
    <input type="text" class="field" data-first value=${text} placeholder=${t("jump.hint")} aria-label=${t("jump.title")}
      role="combobox" aria-expanded="true" aria-controls="jump-list" aria-activedescendant=${goals.length ? `jump-${chosen}` : null}
      onKeyDown=${onKeyDown} onInput=${(/** @type {any} */ event) => {
        setText(event.target.value);
        setChosen(0);
      }} />
    <div class="jump-results" id="jump-list" role="listbox" aria-label=${t("jump.title")}>
      ${goals.map(
        (goal, index) => html`<div role="option" id=${`jump-${index}`} key=${goal.path} aria-selected=${index === chosen}
          onClick=${() => to(goal)}><span>${goal.words}</span><span class="muted small">${goal.kind}</span></div>`,
      )}
    </div>
    ${!goals.length && html`<p class="muted">${t("jump.nothing")}</p>`}
  </div>`;
}

/** @param {string} text @param {{id: string, name: string}[]} servers @returns {Goal[]} */
function goalsOf(text, servers) {
  const sought = text.trim().toLowerCase();
  const has = (/** @type {string} */ words) => words.toLowerCase().includes(sought);
  /** @type {Goal[]} */
  const goals = [];
  if (/^task_\w+$/.test(sought)) goals.push({ path: `/task/${sought}`, words: sought, kind: t("jump.task") });
  for (const [name, path] of PLACES) {
    if (has(t(`nav.${name}`)) || has(name)) goals.push({ path, words: t(`nav.${name}`), kind: t("jump.page") });
  }
  if (sought) {
    for (const { id, name } of servers) {
      if (has(id) || has(name)) goals.push({ path: `/servers/${encodeURIComponent(id)}`, words: name, kind: t("jump.server") });
      if (goals.length >= MOST) break;
    }
    const type = encodeURIComponent(text.trim());
    goals.push({ path: `/tasks?type=${type}`, words: text.trim(), kind: t("jump.type") });
  }
  return goals.slice(0, MOST);
}
