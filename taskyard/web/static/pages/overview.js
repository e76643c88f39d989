/** The whole yard at a glance. */

import { t } from "../core/i18n.js";
import { topics } from "../core/live.js";
import { Title, windowOf } from "../parts/title.js";
import { html } from "../vendor/preact.js";

/** @param {{query: Record<string, string>}} props */
export default function Overview({ query }) {
  const seen = topics.overview.value;
  return html`<${Title} name=${t("nav.overview")} live window=${windowOf(query)} />
    <section class="card"><pre class="card-body">${seen && JSON.stringify(seen.counts, null, 1)}</pre></section>`;
}
