/** The session ended in mid-work, or is about to: sign in again over the page, which keeps what was typed and chosen. */

import { t } from "../core/i18n.js";
import { reconnect } from "../core/live.js";
import { ended } from "../core/session.js";
import { SignInForm } from "../pages/signin.js";
import { html } from "../vendor/preact.js";
import { Dialog, open } from "./dialog.js";

let asking = false;

/** Opens the dialog, once. */
export function signInAgain() {
  if (asking) return;
  asking = true;
  open((close) => {
    const end = () => {
      asking = false;
      close();
    };
    const done = () => {
      end();
      reconnect();
    };
    return html`<${Dialog} title=${t(ended.peek() ? "again.title" : "signin.title")} onClose=${end}>
      <div class="dialog-content">${ended.peek() && html`<p>${t("again.words")}</p>`}<${SignInForm} onDone=${done} /></div>
    </${Dialog}>`;
  });
}
