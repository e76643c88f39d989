"""The tour: each of its stops has something to show in both languages, quietly, and its picture is in the docs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.contract.api.yard import Yard, eventually
from tests.web.conftest import Visitor
from tests.web.past import Past
from tests.web.tour import DESK, FOLDER, LANGUAGES, STOPS, Stop, arrive, photograph
from tests.web.workload import Fleet, Work

DOCS = FOLDER.parent
WORDS = Path(__file__).parents[2] / "taskyard" / "web" / "static" / "i18n"
PICTURE_MOST, ALL_MOST = 120_000, 3_000_000
# What no policy lets through is told to the page; here it is kept.
REPORTS = """window.refused = [];
addEventListener('securitypolicyviolation', (one) => window.refused.push(`${one.violatedDirective}: ${one.sample}`));"""
SWITCH = "#rail-language, #more-language"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    folder = tmp_path_factory.mktemp("tour") / "data"
    Past(folder, time.time_ns() // 1_000_000)
    fleet = Fleet()
    yard = Yard(folder)
    made = Work(yard, fleet)
    made.begin()
    made.show(timeout=3500)
    admin = yard.client("admin")
    eventually(lambda: len(admin.get("/api/failures?window=1h").json()["groups"]) > 2)
    yield made
    made.stop()
    yard.stop()
    fleet.stop()


def speak(page: Page, language: str) -> None:
    """Choose the other language, as one does."""
    page.evaluate(
        """([place, language]) => { const choice = document.querySelector(place); choice.value = language;
        choice.dispatchEvent(new Event('change', { bubbles: true })); }""",
        [SWITCH, language],
    )
    expect(page.locator(f"html[lang='{language}']")).to_be_attached()


def keys_shown(page: Page) -> set[str]:
    """Keys of the dictionary that stand on the page instead of words."""
    keys = json.loads((WORDS / "en.json").read_text(encoding="utf-8"))
    text: str = page.evaluate("document.body.innerText")
    return {word for word in re.findall(r"[a-z]+(?:\.[A-Za-z0-9_-]+)+", text) if word in keys}


@pytest.mark.parametrize("phone", [False, True])
def test_every_stop_is_quiet_and_has_something_to_show(
    phone: bool, work: Work, visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    stops = [stop for stop in STOPS if stop.phone is phone and stop.signed_in]
    page = visit(work.yard, "admin", **stops[0].options("en")).page
    page.add_init_script(REPORTS)
    found: dict[tuple[str, str], Any] = {}
    texts: dict[tuple[str, str], str] = {}
    for stop in stops:
        page.emulate_media(color_scheme="dark" if stop.dark else "light", reduced_motion="reduce")
        arrive(page, stop, work)
        for language, tag in (("en", "en"), ("zh", "zh-CN")):
            if not page.locator("dialog[open]").count():
                speak(page, tag)
            assert keys_shown(page) == set(), stop.name
            photograph(page, tmp_path / f"{stop.name}.{language}.webp")
            texts[stop.name, language] = page.evaluate("document.querySelector('main').innerText")
        seen = Axe().run(page, options={"resultTypes": ["violations"]})
        if seen.violations_count:
            found[stop.name, "axe"] = seen.generate_report()
        if refused := page.evaluate("window.refused"):
            found[stop.name, "refused"] = refused
        page.evaluate("document.querySelector('dialog[open] .icon-button')?.click()")
        speak(page, "en")
    assert found == {}
    for stop in stops:
        assert (tmp_path / f"{stop.name}.en.webp").read_bytes()[8:12] == b"WEBP"
        if "add" not in stop.name:
            assert re.search("[一-鿿]", texts[stop.name, "zh"]), stop.name
            assert texts[stop.name, "en"] != texts[stop.name, "zh"]


def test_the_sign_in_speaks_the_readers_language(work: Work, visit: Callable[..., Visitor]) -> None:
    for language, word in (("en", "Sign in"), ("zh", "登录")):
        page = visit(work.yard, locale=LANGUAGES[language], viewport={"width": DESK[0], "height": DESK[1]}).page
        page.goto("/signin")
        expect(page.get_by_role("button", name=word)).to_be_visible()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_docs_have_the_picture_of_every_stop(language: str) -> None:
    def names(stop: Stop) -> str:
        return f"pictures/{stop.name}.{language}.webp"

    page = (DOCS / ("tour.md" if language == "en" else "tour.zh-CN.md")).read_text(encoding="utf-8")
    shown = set(re.findall(r"pictures/[\w.-]+\.webp", page))
    assert {names(stop) for stop in STOPS} == shown
    for name in shown:
        data = (DOCS / name).read_bytes()
        assert data[:4] == b"RIFF", name
        assert len(data) <= PICTURE_MOST, name


def test_the_pictures_are_those_of_the_tour_and_small() -> None:
    kept = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert set(kept) == {f"{stop.name}.{language}.webp" for stop in STOPS for language in LANGUAGES}
    assert sum(kept.values()) <= ALL_MOST
