"""The report says what was found, in text and in a page that needs nothing else; and each promise has its words."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import taskyard.prove
from taskyard.prove.oracle.promises import PROMISES
from taskyard.prove.report.model import Part, Report
from taskyard.prove.report.page import page
from taskyard.prove.report.text import brief, text

PROVE = Path(taskyard.prove.__file__).parent
PART = Part(
    "The torture",
    ["Nothing is lost."],
    "9 tasks, <none> lost",
    ["Much was <tried> & more."],
    {"kills": 12345, "ended": "9 (8 COMPLETED)"},
    {"lost": 0},
    untold=["what nobody knows"],
    again="taskyard prove --seed 7",
    seconds=61.2,
)
REPORT = Report(1_795_507_111_569, 300.4, 7, {"Taskyard": "0.1.0", "processor": "2 × <fast>"}, [PART])
BROKEN = replace(
    REPORT, parts=[replace(PART, zeros={"lost": 1}, broken=["The judges found:\n<script>alert(1)</script>\na & b"])]
)
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What a reader's browser makes of a page: its words, its elements, and what it would have to fetch."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[str] = []
        self.classes: list[str] = []
        self.fetched: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "action", "data", "poster") or name.startswith("on"):
                self.fetched.append(f"{name}={value}")
            if name == "class":
                self.classes += (value or "").split()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.fetched += re.findall(r"url\([^)]*\)|@import", data)
        elif data.strip():
            self.words.append(data.strip())


def test_the_page_has_every_figure_and_needs_nothing_else() -> None:
    read = Page(page(REPORT))
    for word in ("12,345", "9 (8 COMPLETED)", "0", "Much was <tried> & more.", "2 × <fast>", "5 min 0 s", "1 min 1 s"):
        assert word in read.words, word
    assert "2026-11-24 07:58:31 UTC" in read.words
    assert any("All that was promised held." in word for word in read.words)
    assert "The torture: 9 tasks, <none> lost" in read.words
    assert read.fetched == []
    assert "script" not in read.elements
    assert "broken" not in read.classes
    assert "prefers-color-scheme: dark" in page(REPORT)


def test_what_broke_is_red_said_and_quoted_as_it_is() -> None:
    read = Page(page(BROKEN))
    assert "Not all that was promised held: see The torture." in " ".join(read.words)
    assert "<script>alert(1)</script>\na & b" in read.words
    assert "script" not in read.elements
    assert {"broken", "verdict"} <= set(read.classes)
    said = text(BROKEN)
    assert "Not all that was promised held: see The torture." in said
    assert "DOES NOT HOLD" in said
    assert "      <script>alert(1)</script>" in said.splitlines()


def test_a_zero_that_is_none_is_enough_to_break_it() -> None:
    assert REPORT.holds
    assert not replace(REPORT, parts=[PART, replace(PART, zeros={"lost": 1})]).holds
    assert not replace(REPORT, parts=[]).holds


def test_the_text_has_it_all_and_its_lines_can_be_read() -> None:
    said = text(REPORT)
    for word in (
        "12,345",
        "Nothing is lost.",
        "9 tasks, <none> lost",
        "what nobody knows",
        "taskyard prove --seed 7",
        "0.1.0",
        "seed   7",
    ):
        assert word in said, word
    assert max(map(len, said.splitlines())) <= 100
    for word in ("All that was promised held.", "9 tasks, <none> lost", "what nobody knows"):
        assert word in brief(REPORT)
    assert "The judges found:" in brief(BROKEN)


def test_each_promise_by_which_the_oracle_judges_has_its_words_and_no_other() -> None:
    rules: set[str] = set()
    for path in [*(PROVE / "oracle").glob("*.py"), *(PROVE / "simulation").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Violation":
                first = node.args[0] if isinstance(node.args[0], ast.Constant) else None
                rules |= {str(first.value)} if first else set()
    assert rules == set(PROMISES)
