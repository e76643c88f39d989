/** What stands around every page: where one can go, who one is, and a word when the connection is lost. */

import { get } from "../core/api.js";
import { clock, span } from "../core/format.js";
import { language, t } from "../core/i18n.js";
import { HELD_LONG_MS, heldSince, lostSince, now, offset, reconnect, release, retryAt, staleSince, state, topics } from "../core/live.js";
import { ended, isAdmin, isUser, session, signOut } from "../core/session.js";
import { go, route, to } from "../nav.js";
import { setTheme, theme } from "../prefs.js";
import { html, signal, useEffect, useRef } from "../vendor/preact.js";
import { Icon, Mark } from "./icon.js";
import { failed } from "./toast.js";

/** @typedef {"overview" | "tasks" | "servers" | "failures" | "balance" | "stats" | "system"} Place */
/** The pages one can go to, with their paths and keys. @type {readonly [Place, string, string][]} */
export const PLACES = [
  ["overview", "/", "o"],
  ["tasks", "/tasks", "t"],
  ["servers", "/servers", "s"],
  ["failures", "/failures", "f"],
  ["balance", "/balance", "b"],
  ["stats", "/stats", "a"],
  ["system", "/system", "y"],
];
const IN_BOTTOM = 4;
const PARENT = /** @type {Record<string, string>} */ ({ task: "tasks", server: "servers" });
const LANGUAGES = /** @type {const} */ ({ en: "English", "zh-CN": "简体中文" });

const COUNT_MS = 30_000;
/** The tasks that failed or timed out in the latest hour. */
const failing = signal(0);

async function count() {
  if (document.hidden || state.peek() === "held" || state.peek() === "lost") return;
  try {
    if (isAdmin.value) {
      const { totals } = (await get("/api/overview?window=1h")).data;
      failing.value = totals.failed + totals.timeout;
    } else {
      // The overview's totals are the whole yard's; the page that the badge stands on shows a user's own.
      failing.value = (await get("/api/failures?window=1h")).data.count;
    }
  } catch {
    // Whether the node answers is said elsewhere.
  }
}

/** @param {{onLanguage: (name: string) => void, children: unknown}} props */
export function Frame({ onLanguage, children }) {
  useEffect(() => {
    if (!isUser.value) return undefined;
    void count();
    const timer = setInterval(count, COUNT_MS);
    return () => clearInterval(timer);
  }, []);
  return html`<div class="frame">
    <a class="button skip" href="#main">${t("frame.skip")}</a>
    <header class="rail">
      <a class="brand" href=${to("/")}><${Mark} />Taskyard</a>
      <nav aria-label=${t("frame.pages")}>
        ${PLACES.map(([name, path]) => html`<${Place} key=${name} name=${name} path=${path} kind="nav" />`)}
      </nav>
      <div class="rail-foot"><${Foot} id="rail" onLanguage=${onLanguage} /></div>
    </header>
    <main class="page" id="main">
      <${Notices} />
      ${children}
    </main>
    <${Bottom} onLanguage=${onLanguage} />
  </div>`;
}

/** @param {{name: Place, path: string, kind: string}} props */
function Place({ name, path, kind }) {
  const here = route.value.page;
  const current = here === name || PARENT[here] === name;
  return html`<a class=${kind} href=${to(path)} aria-current=${current ? "page" : null}>
    <${Icon} name=${name} /><span>${t(`nav.${name}`)}</span>${name === "failures" && html`<${Failed} />`}
  </a>`;
}

/** How many failed lately. */
function Failed() {
  const count = failing.value;
  if (!count) return null;
  return html`<span class="count" title=${t("nav.failures_count", { n: count })}>${count > 999 ? "999+" : count}</span>`;
}

/** @param {{id: string, onLanguage: (name: string) => void}} props */
function Foot({ id, onLanguage }) {
  const who = session.value;
  const leave = async () => {
    try {
      await signOut();
    } catch (error) {
      failed(/** @type {Error} */ (error));
      return;
    }
    location.assign(to("/signin"));
  };
  return html`
    <label for=${`${id}-language`}>${t("frame.language")}
      <select id=${`${id}-language`} value=${language.value} onChange=${(/** @type {any} */ event) => onLanguage(event.target.value)}>
        ${Object.entries(LANGUAGES).map(([name, words]) => html`<option key=${name} value=${name} lang=${name}>${words}</option>`)}
      </select>
    </label>
    <label for=${`${id}-theme`}>${t("frame.theme")}
      <select id=${`${id}-theme`} value=${theme.value} onChange=${(/** @type {any} */ event) => setTheme(event.target.value)}>
        ${["", "light", "dark"].map((name) => html`<option key=${name} value=${name}>${t(`theme.${name || "auto"}`)}</option>`)}
      </select>
    </label>
    <${Where} />
    ${
      who &&
      html`<div class="who">
        <span title=${`${who.sub} (${who.roles.join(", ")})`}>${who.sub} <span class="muted">${who.roles.join(", ")}</span></span>
        <button type="button" class="icon-button" title=${t("frame.sign_out")} aria-label=${t("frame.sign_out")} onClick=${leave}>
          <${Icon} name="out" />
        </button>
      </div>`
    }`;
}

/** Where there are several nodes: the one that one looks at, and the one that decides. Admins alone know their names. */
function Where() {
  const node = topics.node.value;
  if (!(node?.nodes > 1)) return null;
  const said = node.decides ? t("frame.node_decides") : node.decider ? t("frame.decider", { node: node.decider }) : t("frame.no_decider");
  return html`<div class="at-node" title=${`${node.node}: ${said}`}><code>${node.node}</code><span class="muted">${said}</span></div>`;
}

/** On a phone: the first pages at the bottom, the others behind More. @param {{onLanguage: (name: string) => void}} props */
function Bottom({ onLanguage }) {
  /** @type {import("../vendor/preact.js").RefObject<HTMLElement>} */
  const menu = useRef(null);
  const more = PLACES.slice(IN_BOTTOM);
  const inside = more.some(([name]) => name === route.value.page);
  return html`<nav class="bottom" aria-label=${t("frame.pages_short")}>
      ${PLACES.slice(0, IN_BOTTOM).map(([name, path]) => html`<${Place} key=${name} name=${name} path=${path} kind="tab" />`)}
      <button type="button" popovertarget="more" aria-current=${inside ? "page" : null}>
        <${Icon} name="more" /><span>${t("frame.more")}</span>
      </button>
    </nav>
    <div class="more-menu" id="more" popover ref=${menu} onClick=${(/** @type {any} */ event) => event.target.closest("a") && menu.current?.hidePopover()}>
      ${more.map(([name, path]) => html`<${Place} key=${name} name=${name} path=${path} kind="nav" />`)}
      <div class="rail-foot"><${Foot} id="more" onLanguage=${onLanguage} /></div>
    </div>`;
}

/** Opens the sign-in over the page again, when it was closed. */
const signIn = () => void import("./again.js").then(({ signInAgain }) => signInAgain());

/** What one has to know before one believes the figures. */
function Notices() {
  const how = state.value;
  if (ended.value) {
    return html`<div class="notice">
      <span role="status">${t("again.notice")}</span>
      <button type="button" class="button" onClick=${signIn}>${t("signin.do")}</button>
    </div>`;
  }
  if (how === "lost") {
    const browser = now.value - offset.value;
    return html`<div class="notice">
      <span role="status">${t("lost.since", { at: clock(lostSince.value) })}</span>
      <span class="muted">${t("lost.next", { in: span(Math.max(0, retryAt.value - browser)) })}</span>
      <button type="button" class="button" onClick=${reconnect}>${t("lost.now")}</button>
    </div>`;
  }
  if (how === "stale") {
    return html`<div class="notice"><span role="status">${t("stale.since", { at: clock(staleSince.value) })}</span></div>`;
  }
  if (how === "held" && now.value - offset.value - heldSince.value > HELD_LONG_MS) {
    return html`<div class="notice calm">
      <span>${t("held.long", { since: span(now.value - offset.value - heldSince.value) })}</span>
      <button type="button" class="button" onClick=${() => release()}>${t("held.go_on")}</button>
    </div>`;
  }
  return null;
}

/** The bindings that take one to a page. */
export const goKeys = () => Object.fromEntries(PLACES.map(([, path, key]) => [`g ${key}`, () => go(path)]));
