/** The dashboard's beginning: language, session, router; then the frame with the page of the route. */

import { configure } from "./core/api.js";
import { t, use } from "./core/i18n.js";
import { keys } from "./core/keys.js";
import * as live from "./core/live.js";
import { ended, isUser, session } from "./core/session.js";
import { arrivals, follow, go, route, to } from "./nav.js";
import { Frame, goKeys } from "./parts/frame.js";
import { keepLanguage, letters } from "./prefs.js";
import { effect, html, render, signal, useEffect, useLayoutEffect } from "./vendor/preact.js";

/** @typedef {(props: {params: Record<string, string>, query: Record<string, string>}) => any} Page */

const root = document.documentElement;
const boot = JSON.parse(root.dataset.boot ?? "{}");
const base = new URL(root.dataset.root ?? "./", location.href).pathname;

/** What each page exports as its default. @type {Record<string, () => Promise<{default: Page}>>} */
const PAGES = {
  overview: () => import("./pages/overview.js"),
  tasks: () => import("./pages/tasks.js"),
  task: () => import("./pages/task.js"),
  servers: () => import("./pages/servers.js"),
  server: () => import("./pages/server.js"),
  failures: () => import("./pages/failures.js"),
  balance: () => import("./pages/balance.js"),
  stats: () => import("./pages/stats.js"),
  system: () => import("./pages/system.js"),
  signin: () => import("./pages/signin.js"),
  lost: () => import("./pages/lost.js"),
};

/** The page that is shown, with the route it was made for. */
const shown = signal(/** @type {{page: Page, route: import("./core/router.js").Route} | null} */ (null));

/** @param {string} name */
async function speak(name) {
  const response = await fetch(new URL(`./i18n/${name}.json`, import.meta.url));
  use(name, await response.json());
  root.lang = name;
  configure({ language: name });
}

/** @param {string} name */
async function changeLanguage(name) {
  keepLanguage(name);
  await speak(name);
}

/** Follows the route: the page's module is fetched before the page before it goes. */
function followRoute() {
  let latest = "";
  effect(() => {
    const next = route.value;
    const name = next.page;
    if (name === latest) {
      // Another query, or another of the same kind.
      const before = shown.peek();
      if (before?.route.page === name) shown.value = { ...before, route: next };
      return;
    }
    latest = name;
    if (!session.value && name !== "signin") {
      const from = location.pathname.slice(base.length - 1) + location.search;
      go(`/signin?from=${encodeURIComponent(from)}`, { replace: true });
      return;
    }
    PAGES[name]()
      .then((module) => {
        if (latest === name) shown.value = { page: module.default, route: route.peek() };
      })
      .catch(() => {
        // A newer version has other files: the address shows them.
        if (latest === name) location.reload();
      });
  });
}

function App() {
  const current = shown.value;
  const arrived = arrivals.value;
  useLayoutEffect(() => {
    // After a change of page the reader's place is its heading; at first it is the browser's.
    if (arrived > 1) document.getElementById("page-title")?.focus();
  }, [arrived, current?.page]);
  if (!current) return null;
  const { page: name, params, query, path } = current.route;
  if (name === "signin") return html`<${current.page} params=${params} query=${query} />`;
  return html`<${Frame} onLanguage=${changeLanguage}>
    <${current.page} key=${name + path} params=${params} query=${query} />
    ${ended.value && html`<${SignInAgain} />`}
  </${Frame}>`;
}

/** The session ended while someone worked: the page stays, the sign-in comes over it. */
function SignInAgain() {
  useEffect(() => {
    void import("./parts/again.js").then(({ signInAgain }) => signInAgain());
  }, []);
  return null;
}

function listen() {
  addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const typing = target.isContentEditable || target.matches("input:not([type=checkbox]), textarea, select");
    const { key, altKey, shiftKey } = event;
    const ctrl = event.ctrlKey || event.metaKey;
    if (document.querySelector("dialog[open]")) return;
    if (keys.press({ key, ctrl, alt: altKey, shift: shiftKey, typing, at: event.timeStamp })) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => live.visible(document.visibilityState === "visible"));
  keys.letters = () => letters.value;
  keys.bind({
    ...goKeys(),
    "ctrl+k": () => void import("./parts/jump.js").then(({ jump }) => jump()),
    "?": () => void import("./parts/help.js").then(({ help }) => help()),
    p: () => (live.state.value === "held" ? live.release() : void live.hold("asked")),
  });
}

async function main() {
  session.value = boot.session ?? null;
  configure({ root: base, onSignedOut: () => (ended.value = true) });
  await speak(root.lang);
  live.start(boot.now);
  follow(base);
  listen();
  followRoute();
  // The count beside Failures is on every page.
  effect(() => (isUser.value ? live.want(["overview"]) : undefined));
  const place = /** @type {HTMLElement} */ (document.getElementById("app"));
  render(html`<${App} />`, place);
}

void main().catch((problem) => {
  const place = document.getElementById("app");
  if (place) place.textContent = t("frame.broken", { why: String(problem), path: to("/") });
  throw problem;
});
