/**
 * A list's filter: chips for what is set, and a field that takes `name:value` and suggests values that are known.
 */

import { get, withQuery } from "../core/api.js";
import { typed, written } from "../core/filter.js";
import { t } from "../core/i18n.js";
import { html, useEffect, useId, useRef, useState } from "../vendor/preact.js";

const PAUSE_MS = 150;

/**
 * @param {{names: Record<string, string>, facets: Record<string, string>, query: Record<string, string>,
 *   onChange: (changes: Record<string, string | null>) => void, shown?: (member: string, value: string) => string,
 *   read?: (member: string, value: string) => string | null}} props `names`: what is typed -> the member of the query;
 *   `facets`: what is typed -> the field that is asked for values; `shown`, `read`: a value for people and back
 */
export function Filter({ names, facets, query, onChange, shown = (_, value) => value, read = (_, value) => value }) {
  const id = useId();
  const [text, setText] = useState("");
  const [options, setOptions] = useState(/** @type {string[]} */ ([]));
  /** @type {import("../vendor/preact.js").RefObject<HTMLInputElement>} */
  const field = useRef(null);
  useEffect(() => suggest(text, names, facets, setOptions), [text]);
  const members = [...new Set(Object.values(names)), "q"];
  const set = members.filter((member) => query[member]);
  const label = (/** @type {string} */ member) => Object.keys(names).find((name) => names[name] === member);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    /** @type {Record<string, string | null>} */
    const changes = {};
    for (const [member, value] of Object.entries(typed(field.current?.value ?? "", names))) changes[member] = read(member, value) ?? query[member] ?? null;
    if (Object.keys(changes).length) onChange(changes);
    setText("");
  };
  return html`<form class="filter" role="search" onSubmit=${submit}>
    ${set.map((member) => {
      const name = label(member);
      const said = `${name ? `${name}:` : ""}${shown(member, query[member])}`;
      return html`<span key=${member} class="chip on">${said}<button type="button" aria-label=${t("filter.take_away", { what: said })}
        onClick=${() => onChange({ [member]: null })}>×</button></span>`;
    })}
    <span class="filter-box"><input ref=${field} id=${id} type="search" class="filter-field" value=${text} list=${`${id}-list`} autocomplete="off" spellcheck=${false}
      placeholder=${t(Object.keys(facets).length ? "filter.placeholder" : "filter.placeholder_names", { names: Object.keys(names).map((name) => `${name}:`).join(" ") })}
      aria-label=${t("filter.label")} data-filter
      onInput=${(/** @type {Event} */ event) => setText(/** @type {HTMLInputElement} */ (event.target).value)}
      onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
        if (event.key === "Escape" && !text) field.current?.blur();
        if (event.key === "Backspace" && !text && set.length) {
          const last = set[set.length - 1];
          onChange({ [last]: null });
          setText(written({ [last]: query[last] }, names));
          event.preventDefault();
        }
      }} />
    <kbd aria-hidden="true">/</kbd></span>
    <datalist id=${`${id}-list`}>${options.map((option) => html`<option key=${option} value=${option}></option>`)}</datalist>
    ${set.length > 1 && html`<button type="button" class="link-button" onClick=${() => onChange(Object.fromEntries(set.map((member) => [member, null])))}>${t("filter.clear")}</button>`}
  </form>`;
}

/**
 * Fills the suggestions for what is being typed, after a moment without a key.
 * @param {string} text @param {Record<string, string>} names @param {Record<string, string>} facets
 * @param {(options: string[]) => void} fill
 */
function suggest(text, names, facets, fill) {
  const last = /(\S+):(\S*)$/.exec(text);
  if (!last || !Object.hasOwn(facets, last[1])) {
    fill(text.includes(":") ? [] : Object.keys(names).map((name) => `${name}:`));
    return undefined;
  }
  const before = text.slice(0, text.length - last[0].length);
  const asked = new AbortController();
  const timer = setTimeout(() => {
    get(withQuery("/api/facets", { field: facets[last[1]], prefix: last[2], limit: 20 }), { signal: asked.signal }).then(
      ({ data }) => fill(data.values.map((/** @type {string} */ value) => `${before}${written({ [names[last[1]]]: value }, names)}`)),
      () => {},
    );
  }, PAUSE_MS);
  return () => {
    clearTimeout(timer);
    asked.abort();
  };
}

/** Puts the focus into the page's filter; false where there is none. */
export function focusFilter() {
  const field = document.querySelector("[data-filter]");
  if (!(field instanceof HTMLElement)) return false;
  field.focus();
  return true;
}
