/**
 * Keys: from what is pressed to a name of what it means. Sequences such as `g t`; off while someone types. Knows no DOM.
 */

/** How long the second key of a sequence may take, in ms. */
const SEQUENCE_MS = 1200;
/** Keys that mean something with no letter; these stay on when single letters are switched off. */
const ALWAYS = new Set(["Escape", "Enter", "ArrowUp", "ArrowDown", "ctrl+k"]);

/**
 * @typedef {{key: string, ctrl?: boolean, alt?: boolean, shift?: boolean, typing?: boolean, at: number}} Press
 *   `typing`: the focus is in a field; `at`: when, in ms
 */

/** A press as it is written in bindings: `j`, `?`, `shift+ArrowDown`, `ctrl+k`. @param {Press} press */
export function nameOf({ key, ctrl, shift }) {
  const name = key.length === 1 && ctrl ? key.toLowerCase() : key;
  const shifted = shift && key.length > 1 ? "shift+" : "";
  return `${ctrl ? "ctrl+" : ""}${shifted}${name}`;
}

export class Keys {
  /** @param {() => boolean} letters whether single letters are on */
  constructor(letters = () => true) {
    this.letters = letters;
    /** @type {Map<string, () => unknown>[]} */
    this.layers = [];
    this.prefix = "";
    this.until = 0;
  }

  /**
   * Adds bindings on top of those there are; gives what takes them away.
   * @param {Record<string, () => unknown>} bindings a key or `first second`; a binding that gives false passes it on
   */
  bind(bindings) {
    const layer = new Map(Object.entries(bindings));
    this.layers.push(layer);
    return () => {
      this.layers = this.layers.filter((other) => other !== layer);
    };
  }

  /** @param {Press} press @returns {boolean} whether it meant something */
  press(press) {
    const name = nameOf(press);
    if (press.alt || (press.ctrl && name !== "ctrl+k")) return false;
    if (press.typing && name !== "Escape" && name !== "ctrl+k") return false;
    if (!this.letters() && !ALWAYS.has(name)) return false;
    const whole = press.at < this.until ? `${this.prefix} ${name}` : name;
    this.until = 0;
    if (this.run(whole)) return true;
    if (this.starts(name)) {
      this.prefix = name;
      this.until = press.at + SEQUENCE_MS;
      return true;
    }
    return whole !== name && this.run(name);
  }

  /** @param {string} name */
  run(name) {
    for (const layer of [...this.layers].reverse()) {
      const action = layer.get(name);
      if (action && action() !== false) return true;
    }
    return false;
  }

  /** @param {string} name */
  starts(name) {
    return this.layers.some((layer) => [...layer.keys()].some((key) => key.startsWith(`${name} `)));
  }
}

export const keys = new Keys();
