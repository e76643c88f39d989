/** A path that is none. */

import { t } from "../core/i18n.js";
import { route, to } from "../nav.js";
import { Title } from "../parts/title.js";
import { html } from "../vendor/preact.js";

export default function Lost() {
  return html`<${Title} name=${t("nowhere.title")} />
    <p>${t("nowhere.words", { path: route.value.path })} <a href=${to("/")}>${t("nav.overview")}</a></p>`;
}
