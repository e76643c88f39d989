/**
 * Dialogs: a `<dialog>` of one's own content, and a question with one answer. Esc and the backdrop close; the focus
 * goes back where it was (the browser does that).
 */

import { t } from "../core/i18n.js";
import { html, render, useEffect, useId, useRef, useState } from "../vendor/preact.js";
import { keepToasts } from "./toast.js";

/**
 * @param {{title: string, onClose: () => void, children: unknown, wide?: boolean}} props
 */
export function Dialog({ title, onClose, children, wide }) {
  /** @type {import("../vendor/preact.js").RefObject<HTMLDialogElement>} */
  const box = useRef(null);
  const name = useId();
  useEffect(() => {
    const dialog = box.current;
    dialog?.showModal();
    // The attribute `autofocus` would be looked at when the dialog is not shown yet.
    const first = dialog?.querySelector("[data-first]");
    if (first instanceof HTMLElement) first.focus();
    return () => {
      keepToasts();
      dialog?.close();
    };
  }, []);
  return html`<dialog ref=${box} class=${wide ? "dialog wide" : "dialog"} aria-labelledby=${name}
    onCancel=${(/** @type {Event} */ event) => {
      event.preventDefault();
      onClose();
    }}
    onMouseDown=${(/** @type {MouseEvent} */ event) => {
      if (event.target === box.current) onClose();
    }}>
    <div class="dialog-body">
      <header><h2 id=${name}>${title}</h2>
        <button type="button" class="icon-button" aria-label=${t("parts.close")} onClick=${onClose}>
          <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" class="shape"><path d="M4 4l8 8m0-8l-8 8" /></svg>
        </button>
      </header>
      ${children}
    </div>
  </dialog>`;
}

/**
 * A form in a dialog: a button that does it and one that does not, the error where it failed.
 * @param {{title: string, action: string, danger?: boolean, onSubmit: () => Promise<unknown>, onClose: () => void,
 *   children: unknown, wide?: boolean, disabled?: boolean}} props `onSubmit` closes by itself when it is done
 */
export function FormDialog({ title, action, danger, onSubmit, onClose, children, wide, disabled }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (busy || disabled) return;
    setBusy(true);
    setError("");
    try {
      await onSubmit();
    } catch (error) {
      const problem = /** @type {any} */ (error);
      setError(problem.details || problem.message || String(problem));
    } finally {
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose} wide=${wide}>
    <form onSubmit=${submit} novalidate>
      <div class="dialog-content">${children}</div>
      ${error && html`<p class="form-error" role="alert">${error}</p>`}
      <footer>
        <button type="button" class="button" onClick=${onClose}>${t("parts.cancel")}</button>
        <button type="submit" class=${`button ${danger ? "danger" : "primary"}`} disabled=${busy || disabled}
          aria-busy=${busy}>${action}</button>
      </footer>
    </form>
  </${Dialog}>`;
}

/**
 * Opens a dialog outside of the page's tree; `make` gets what closes it.
 * @param {(close: () => void) => unknown} make
 */
export function open(make) {
  const place = document.createElement("div");
  document.body.append(place);
  const close = () => {
    render(null, place);
    place.remove();
  };
  render(/** @type {any} */ (make(close)), place);
}

/**
 * A question before what cannot be undone.
 * @param {{title: string, text?: unknown, action: string, danger?: boolean, run: () => Promise<unknown>}} question
 */
export function ask({ title, text, action, danger, run }) {
  open(
    (close) => html`<${FormDialog} title=${title} action=${action} danger=${danger} onClose=${close}
      onSubmit=${async () => {
        await run();
        close();
      }}>${typeof text === "string" ? html`<p>${text}</p>` : text}</${FormDialog}>`,
  );
}
