/** All keys, and the switch for single letters. */

import { t } from "../core/i18n.js";
import { letters, setLetters } from "../prefs.js";
import { html } from "../vendor/preact.js";
import { Dialog, open } from "./dialog.js";
import { PLACES } from "./frame.js";

/** Keys, and the word that says what they do. */
const KEYS = /** @type {const} */ ([
  [["Ctrl", "K"], "jump"],
  [["/"], "filter"],
  [["j"], "down"],
  [["k"], "up"],
  [["Enter"], "open"],
  [["["], "before"],
  [["]"], "after"],
  [["x"], "select"],
  [["Shift", "↓"], "range"],
  [["a"], "all"],
  [["r"], "retry"],
  [["c"], "cancel"],
  [["e"], "edit"],
  [["y"], "copy"],
  [["p"], "hold"],
  [["?"], "help"],
  [["Esc"], "close"],
]);

/** Opens the list. */
export function help() {
  open((close) => html`<${Dialog} title=${t("keys.title")} onClose=${close}><div class="dialog-content"><${List} /></div></${Dialog}>`);
}

function List() {
  return html`<dl class="key-list">
      ${PLACES.map(([name, , key]) => html`<dt><kbd>g</kbd> <kbd>${key}</kbd></dt><dd>${t(`nav.${name}`)}</dd>`)}
      ${KEYS.map(([pressed, name]) => html`<dt>${pressed.map((key, index) => html`${index ? " " : ""}<kbd>${key}</kbd>`)}</dt><dd>${t(`keys.${name}`)}</dd>`)}
    </dl>
    <label class="row"><input type="checkbox" checked=${letters.value} onChange=${(/** @type {any} */ event) => setLetters(event.target.checked)} />
      ${t("keys.letters")}</label>`;
}
