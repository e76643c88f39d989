/** What a reader of a page would find amiss; run in the page by the tests. */
(() => {
  const shown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  /** What is offered to screen readers alone, or stands over the page by intention. */
  const APART = ".offscreen, .skip, thead, .more-menu, option, datalist, noscript, svg, [popover]";
  const FLOATING = new Set(["fixed", "sticky"]);

  function texts() {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const parent = node.parentElement;
      if (!node.data.trim() || parent.closest(APART) || !shown(parent)) continue;
      found.push({ node, parent, text: node.data.trim() });
    }
    return found;
  }

  /** The box in which an element can be seen, and whether something floats it over others. */
  function sight(element) {
    let box = { left: -1e6, top: -1e6, right: 1e6, bottom: 1e6 };
    let floats = false;
    let ellipsis = false;
    for (let up = element; up && up !== document.body; up = up.parentElement) {
      const style = getComputedStyle(up);
      floats ||= FLOATING.has(style.position);
      ellipsis ||= style.textOverflow === "ellipsis" || style.maskImage !== "none";
      if (style.overflowX === "visible" && style.overflowY === "visible") continue;
      const { left, top, right, bottom } = up.getBoundingClientRect();
      box = { left: Math.max(box.left, left), top: Math.max(box.top, top), right: Math.min(box.right, right), bottom: Math.min(box.bottom, bottom), scrolls: box.scrolls || /auto|scroll/.test(style.overflowX + style.overflowY) };
    }
    return { box, floats, ellipsis };
  }

  function lines(node) {
    const range = document.createRange();
    range.selectNodeContents(node);
    return [...range.getClientRects()].filter((one) => one.width > 1 && one.height > 1);
  }

  /** Words that are cut without a mark and cannot be scrolled to. */
  function cut() {
    const found = [];
    for (const { node, parent, text } of texts()) {
      const { box, ellipsis } = sight(parent);
      if (ellipsis || box.scrolls) continue;
      const out = lines(node).some((one) => one.right > box.right + 1.5 || one.left < box.left - 1.5 || one.bottom > box.bottom + 3 || one.top < box.top - 3);
      if (out) found.push(text.slice(0, 60));
    }
    return found;
  }

  /** Words that stand over other words. */
  function overlapping() {
    const all = texts().flatMap(({ node, parent, text }) => {
      const { box, floats } = sight(parent);
      if (floats) return [];
      return lines(node).map((one) => ({
        parent, text, left: Math.max(one.left, box.left), top: Math.max(one.top, box.top), right: Math.min(one.right, box.right), bottom: Math.min(one.bottom, box.bottom),
      })).filter((one) => one.right - one.left > 1 && one.bottom - one.top > 1);
    }).sort((one, other) => one.top - other.top);
    const found = [];
    for (let at = 0; at < all.length; at += 1) {
      const one = all[at];
      for (let next = at + 1; next < all.length && all[next].top < one.bottom; next += 1) {
        const other = all[next];
        if (one.parent === other.parent) continue;
        const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
        const high = Math.min(one.bottom, other.bottom) - other.top;
        // Line boxes may touch; letters may not.
        if (wide > 2 && high > 5) found.push(`${one.text.slice(0, 40)} / ${other.text.slice(0, 40)}`);
      }
    }
    return found;
  }

  /** What makes the page scroll sideways. */
  function sideways() {
    const wide = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= wide) return [];
    const out = [...document.querySelectorAll("main *")].filter((one) => one.getBoundingClientRect().right > wide + 0.5);
    return out.slice(-5).map((one) => `${one.tagName} ${one.className}: ${one.textContent.slice(0, 40)}`);
  }

  window.amiss = () => ({ sideways: sideways(), cut: cut(), overlapping: overlapping() });
  /** All words that can be seen or are read out, for the test of the languages. */
  window.spoken = () => [
    ...texts().filter(({ parent }) => !parent.closest("code, pre, kbd, .mono, .chip, [lang=en], option")).map(({ text }) => text),
    ...[...document.querySelectorAll("[aria-label], [title], [placeholder]")].filter((one) => shown(one) && !one.closest("code, pre")).flatMap((one) => ["aria-label", "title", "placeholder"].map((name) => one.getAttribute(name)).filter(Boolean)),
  ];
})();
