/**
 * Tables as CSV (RFC 4180). A cell that a spreadsheet would take for a formula is made a text.
 */

/** @param {unknown} value @returns {string} */
function cell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (typeof value !== "number" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * @param {string[]} head
 * @param {unknown[][]} rows
 * @returns {string}
 */
export function csv(head, rows) {
  return [head, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}
