/**
 * Fields of a form: a label, an input, a hint or what is wrong with it.
 */

import { t } from "../core/i18n.js";
import { html, useId, useState } from "../vendor/preact.js";

/**
 * @param {{label: string, value: string, onInput: (value: string) => void, hint?: unknown, error?: string, type?: string,
 *   required?: boolean, placeholder?: string, rows?: number, mono?: boolean, options?: string[], autofocus?: boolean,
 *   min?: number, max?: number}} props `rows`: a text of several lines; `options`: suggested values
 */
export function Field({ label, value, onInput, hint, error, type = "text", required, placeholder, rows, mono, options, autofocus, min, max }) {
  const id = useId();
  const told = hint || error ? `${id}-hint` : null;
  const common = {
    id, value, required, placeholder, min, max, "aria-describedby": told, "aria-invalid": error ? "true" : null,
    class: mono ? "mono" : null, "data-first": autofocus, spellcheck: false,
    onInput: (/** @type {Event} */ event) => onInput(/** @type {HTMLInputElement} */ (event.target).value),
  };
  return html`<div class="form-field">
    <label for=${id}>${label}${!required && html` <span class="muted">${t("form.optional")}</span>`}</label>
    ${rows
      ? html`<textarea ...${common} rows=${rows}></textarea>`
      : html`${type === "password" && html`<input type="text" autocomplete="username" hidden aria-hidden="true" />`}<input ...${common} type=${type} list=${options ? `${id}-list` : null} autocomplete=${type === "password" ? "new-password" : "off"} />`}
    ${options && html`<datalist id=${`${id}-list`}>${options.map((option) => html`<option key=${option} value=${option}></option>`)}</datalist>`}
    ${told && html`<p id=${told} class=${error ? "hint wrong" : "hint"}>${error || hint}</p>`}
  </div>`;
}

/**
 * A set of words: each a chip that can be taken away; Enter or a comma adds what is typed, suggestions add by a click.
 * @param {{label: string, words: string[], onChange: (words: string[]) => void, hint?: unknown, suggested?: {word: string, why: string}[],
 *   options?: string[]}} props
 */
export function Words({ label, words, onChange, hint, suggested, options }) {
  const id = useId();
  const [typed, setTyped] = useState("");
  const add = (/** @type {string} */ text) => {
    const more = text.split(/[,，]/).map((word) => word.trim()).filter((word) => word && !words.includes(word));
    if (more.length) onChange([...words, ...more]);
    setTyped("");
  };
  const missing = (suggested ?? []).filter((one) => !words.includes(one.word));
  return html`<div class="form-field">
    <label for=${id}>${label} <span class="muted">${t("form.optional")}</span></label>
    <div class="word-list">
      ${words.map(
        (word) => html`<span key=${word} class="chip">${word}<button type="button" aria-label=${t("form.take_away", { word })}
          onClick=${() => onChange(words.filter((other) => other !== word))}>×</button></span>`,
      )}
      <input id=${id} value=${typed} list=${options ? `${id}-list` : null} autocomplete="off" spellcheck=${false} aria-describedby=${`${id}-hint`}
        onInput=${(/** @type {Event} */ event) => {
          const text = /** @type {HTMLInputElement} */ (event.target).value;
          if (/[,，]$/.test(text)) add(text);
          else setTyped(text);
        }}
        onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
          if (event.isComposing) return; // a Chinese input method takes Enter first
          if (event.key === "Enter" && typed.trim()) {
            event.preventDefault();
            add(typed);
          } else if (event.key === "Backspace" && !typed && words.length) onChange(words.slice(0, -1));
        }}
        onBlur=${() => typed.trim() && add(typed)} />
    </div>
    ${options && html`<datalist id=${`${id}-list`}>${options.map((option) => html`<option key=${option} value=${option}></option>`)}</datalist>`}
    <p id=${`${id}-hint`} class="hint">${hint ?? t("form.words_hint")}</p>
    ${missing.length > 0 && html`<div class="suggested"><span class="muted">${t("form.wanted")}</span>
      ${missing.map((one) => html`<button key=${one.word} type="button" class="chip add" title=${one.why} onClick=${() => onChange([...words, one.word])}>+ ${one.word} <span class="muted">${one.why}</span></button>`)}
    </div>`}
  </div>`;
}

/** @param {{label: string, checked: boolean, onChange: (checked: boolean) => void, hint?: unknown}} props */
export function Check({ label, checked, onChange, hint }) {
  const id = useId();
  return html`<div class="form-field check-field"><input id=${id} type="checkbox" checked=${checked} aria-describedby=${hint ? `${id}-hint` : null}
    onChange=${(/** @type {Event} */ event) => onChange(/** @type {HTMLInputElement} */ (event.target).checked)} />
    <label for=${id}>${label}</label>${hint && html`<p id=${`${id}-hint`} class="hint">${hint}</p>`}</div>`;
}
