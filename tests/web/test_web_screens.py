"""Every page on every screen: narrow, with large letters, in forced colours, in a language of longer words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route

from tests.web.conftest import Visitor
from tests.web.scene import LONG, Scene, opened

LOOK = (Path(__file__).parent / "screens.js").read_text(encoding="utf-8")
WORDS = Path(__file__).parents[2] / "taskyard" / "web" / "static" / "i18n"
_PLACE = re.compile(r"(\{[^}]*\}|`[^`]*`)")
_ACCENTS = str.maketrans("aceginorsuyzACEGINORSUYZ", "âçéĝîñôřšûýžÂÇÉĜÎÑÔŘŠÛÝŽ")
# At most: 320 px wide; letters twice as large alone; all twice as large.
SCREENS = {"320 px": (320, 640, 100), "200 % text": (1280, 900, 200), "200 % zoom": (640, 450, 100)}
# What no dictionary has: figures with their units, names of things, and what others wrote.
NAMES = re.compile(
    rf"""
    \d{{4}}-[\d-]+T[\d:.]+Z | \b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b |
    \b(?:who|action|target|type|server|tag|capability|from|to|group|owner): |
    [\W\d_]+ | \b(?:ms|s|m|h|d|kB|B|byte|bytes|ID|p95)\b | Taskyard | English | admin | ann | {LONG} |
    task_\w+ | \b(?:good|bad|slow|away|nobody|node)\b
""",
    re.VERBOSE,
)


def look(page: Page) -> dict[str, Any]:
    """What is amiss."""
    page.evaluate(LOOK)
    found: dict[str, Any] = page.evaluate("window.amiss()")
    return {name: what for name, what in found.items() if what}


def longer(entry: Any) -> Any:
    """An entry in a language that is not there: half as long again, each text within brackets."""
    if isinstance(entry, dict):
        return {form: longer(text) for form, text in entry.items()}
    if not re.search("[A-Za-z]", _PLACE.sub("", entry)):
        return entry
    parts = [part if _PLACE.fullmatch(part) else part.translate(_ACCENTS) for part in _PLACE.split(entry)]
    more = "~" * max(1, len(_PLACE.sub("", entry)) // 2)
    return "⟦" + "".join(parts) + more + "⟧"


def test_every_page_fits_every_screen(scene: Scene, visit: Callable[..., Visitor]) -> None:
    visitor = visit(scene.yard, "admin", reduced_motion="reduce")
    page, found = visitor.page, {}
    for path in scene.pages:
        opened(page, path)
        for name, (wide, high, text) in SCREENS.items():
            page.set_viewport_size({"width": wide, "height": high})
            page.evaluate("(share) => { document.documentElement.style.fontSize = `${share}%`; }", text)
            if amiss := look(page):
                found[path, name] = amiss
        page.evaluate("document.documentElement.style.fontSize = ''")
    assert not found, "\n".join(f"{where}: {what}" for where, what in found.items())


def test_a_language_with_longer_words_is_on_every_page_whole(scene: Scene, visit: Callable[..., Visitor]) -> None:
    page, found = visit(scene.yard, "admin", reduced_motion="reduce").page, {}
    words = {key: longer(entry) for key, entry in json.loads((WORDS / "en.json").read_text(encoding="utf-8")).items()}

    def answer(route: Route) -> None:
        route.fulfill(json=words)

    page.route("**/i18n/en.json", answer)
    plain = set()
    for path in scene.pages:
        opened(page, path)
        for wide in (1440, 390):
            page.set_viewport_size({"width": wide, "height": 900})
            if amiss := look(page):
                found[path, wide] = amiss
        plain |= {said for said in page.evaluate("window.spoken()") if unspoken(said)}
    assert not found, "\n".join(f"{where}: {what}" for where, what in found.items())
    assert not plain, "\n".join(sorted(plain))


def unspoken(said: str) -> str:
    """What of a text is in no dictionary, nor a name, a figure or a unit."""
    left, before = said, ""
    while left != before:
        before, left = left, re.sub("⟦[^⟦⟧]*⟧", "", left)
    return NAMES.sub("", left).strip()


def test_forced_colours_keep_what_colours_say(scene: Scene, visit: Callable[..., Visitor]) -> None:
    page = visit(scene.yard, "admin", forced_colors="active", reduced_motion="reduce").page
    for path in ("/", "/servers", "/failures", f"/task/{scene.ids['bad']}"):
        opened(page, path)
        found = page.evaluate("""() => {
          const system = (word) => { const one = document.createElement('i'); one.style.color = word;
            document.body.append(one); const seen = getComputedStyle(one).color; one.remove(); return seen; };
          const [ink, ground] = [system('CanvasText'), system('Canvas')];
          const seen = (place, name) => [...document.querySelectorAll(place)]
            .filter((one) => one.checkVisibility()).map((one) => getComputedStyle(one)[name]);
          return { different: ink !== ground,
            shapes: seen('.shape', 'stroke').every((one) => one === ink),
            bars: seen('progress', 'borderTopStyle').every((one) => one === 'solid'),
            blocks: seen(':is(.strip, .trend) rect:not(.none), .timeline rect', 'fill').every((one) => one === ink),
            here: seen('.rail [aria-current]', 'outlineStyle'),
            buttons: seen('.button', 'borderTopStyle').every((one) => one === 'solid') };
        }""")
        assert found.pop("here") == ["solid"], path
        assert all(found.values()), (path, found)


def test_nothing_moves_for_who_wants_that(scene: Scene, visit: Callable[..., Visitor]) -> None:
    page = visit(scene.yard, "admin").page
    moving = "document.getAnimations().filter((one) => one.effect.getTiming().duration > 0).length"
    watch = """new Promise((done) => { let most = 0; const look = () => { most = Math.max(most, %s); };
      const timer = setInterval(look, 4); document.querySelector('.title .button.primary').click();
      setTimeout(() => { clearInterval(timer); done(most); }, 400); })"""
    for motion in ("no-preference", "reduce"):
        page.emulate_media(reduced_motion=motion)  # type: ignore[arg-type]
        opened(page, "/servers")
        assert (page.evaluate(watch % moving) > 0) == (motion == "no-preference")
