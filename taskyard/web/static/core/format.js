/**
 * Figures as people read them: numbers, durations by magnitude, times of day. Knows no DOM, and no clock: what is
 * relative to now is given it.
 */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const UNITS = {
  en: { ms: "ms", s: "s", m: "m", h: "h", d: "d", mixed: "m" },
  // A number and its unit stay on one line.
  zh: { ms: "\u00a0毫秒", s: "\u00a0秒", m: "\u00a0分钟", h: "\u00a0小时", d: "\u00a0天", mixed: "\u00a0分" },
};

let units = UNITS.en;
let locale = "en";
/** @type {Map<string, Intl.NumberFormat | Intl.DateTimeFormat>} */
let kept = new Map();

/** Speaks a language from now on. @param {string} language */
export function speak(language) {
  locale = language;
  units = language.startsWith("zh") ? UNITS.zh : UNITS.en;
  kept = new Map();
}

/** @param {string} name @param {Intl.NumberFormatOptions} options @returns {Intl.NumberFormat} */
function numbers(name, options) {
  const found = kept.get(name);
  if (found) return /** @type {Intl.NumberFormat} */ (found);
  const made = new Intl.NumberFormat(locale, options);
  kept.set(name, made);
  return made;
}

/** @param {string} name @param {Intl.DateTimeFormatOptions} options @returns {Intl.DateTimeFormat} */
function dates(name, options) {
  const found = kept.get(name);
  if (found) return /** @type {Intl.DateTimeFormat} */ (found);
  const made = new Intl.DateTimeFormat(locale, { hourCycle: "h23", ...options });
  kept.set(name, made);
  return made;
}

/** `12,345`. @param {number} value */
export function number(value) {
  return numbers("n", { maximumFractionDigits: 0 }).format(value);
}

/** `52.8K`, `5万`: what is small stays whole. @param {number} value */
export function compact(value) {
  if (Math.abs(value) < 10_000) return number(value);
  return numbers("c", { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

/** A rate: `0.4`, `12`, `52.8K`. @param {number} value */
export function rate(value) {
  if (value !== 0 && Math.abs(value) < 10) return numbers("r", { maximumFractionDigits: 1 }).format(value);
  return compact(Math.round(value));
}

/** A share 0-1 as `99.2%`; what is not all is never shown as all. @param {number} share */
export function percent(share) {
  const capped = share < 1 ? Math.min(share, 0.999) : share;
  const shown = share > 0 && share < 0.001 ? 0.001 : capped;
  return numbers("p", { style: "percent", maximumFractionDigits: 1 }).format(shown);
}

/** A duration by magnitude: `400ms`, `4.1s`, `38s`, `21m 0s`, `3h 12m`, `2d 4h`. Never negative. @param {number} ms */
export function duration(ms) {
  const all = Math.max(0, ms);
  if (all < SECOND) return `${Math.round(all)}${units.ms}`;
  if (all < 10 * SECOND) {
    const tenths = Math.floor(all / 100) / 10;
    return `${numbers("t", { maximumFractionDigits: 1 }).format(tenths)}${units.s}`;
  }
  if (all < MINUTE) return `${Math.floor(all / SECOND)}${units.s}`;
  if (all < HOUR) return `${Math.floor(all / MINUTE)}${units.mixed} ${Math.floor((all % MINUTE) / SECOND)}${units.s}`;
  if (all < DAY) return `${Math.floor(all / HOUR)}${units.h} ${Math.floor((all % HOUR) / MINUTE)}${units.mixed}`;
  return `${Math.floor(all / DAY)}${units.d} ${Math.floor((all % DAY) / HOUR)}${units.h}`;
}

/** A duration in one unit, rounded down, for what ticks: `38s`, `21m`, `3h`. @param {number} ms */
export function span(ms) {
  const all = Math.max(0, ms);
  if (all < MINUTE) return `${Math.floor(all / SECOND)}${units.s}`;
  if (all < HOUR) return `${Math.floor(all / MINUTE)}${units.m}`;
  if (all < DAY) return `${Math.floor(all / HOUR)}${units.h}`;
  return `${Math.floor(all / DAY)}${units.d}`;
}

/** `14:02:31`. @param {number} at */
export function clock(at) {
  return dates("clock", { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(at);
}

/** `14:02`. @param {number} at */
export function minute(at) {
  return dates("minute", { hour: "2-digit", minute: "2-digit" }).format(at);
}

/** Date and time, `24 Nov, 14:02:31`. @param {number} at */
export function moment(at) {
  return dates("moment", {
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  }).format(at);
}

/** A time near now as its hour, another with its date. @param {number} at @param {number} now */
export function when(at, now) {
  return Math.abs(now - at) < 12 * HOUR ? clock(at) : moment(at);
}

/** `1.2 kB`. @param {number} count bytes */
export function bytes(count) {
  const steps = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let size = count;
  let step = 0;
  while (size >= 1000 && step < steps.length - 1) {
    size /= 1000;
    step += 1;
  }
  return numbers(`b${step}`, {
    style: "unit",
    unit: steps[step],
    unitDisplay: step === 0 ? "long" : "short",
    maximumFractionDigits: step === 0 ? 0 : 1,
  }).format(size);
}
