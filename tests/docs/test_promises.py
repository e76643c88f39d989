"""Each promise of these pages names a test that tries to break it, and each test that is named is there."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.pages import ROOT

PAGES = ("guarantees.md", "security.md")
_TEST = re.compile(r"`(test_\w+)`")
_FILE = re.compile(r"`(tests/[\w/]+\.(?:py|test\.mjs))`")
# The tests of the dashboard's own code have sentences for names: such a one is quoted after its file.
_SENTENCE = re.compile(r"`(tests/[\w/]+\.test\.mjs)`: “([^”]+)”")


def defined() -> set[str]:
    """The names of all tests."""
    found: set[str] = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return found


def has_sentence(name: str, words: str) -> bool:
    """Whether a test file of the dashboard has a test of this name."""
    file = ROOT / name
    return file.is_file() and f'test("{words}"' in file.read_text(encoding="utf-8")


DEFINED = defined()


def faults(page: str) -> list[str]:
    """Tests and files that a page names and that are not there, and rows of its tables that name none."""
    found = [f"there is no {name}" for name in _TEST.findall(page) if name not in DEFINED]
    found += [f"there is no {name}" for name in _FILE.findall(page) if not (ROOT / name).is_file()]
    found += [f"there is no {words}" for name, words in _SENTENCE.findall(page) if not has_sentence(name, words)]
    column = None
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            column = None
        elif column is None:
            column = next((n for n, cell in enumerate(cells) if cell.startswith("the test")), -1)
        elif (
            column >= 0
            and set(line) - set("|-: ")
            and not (_TEST.search(cells[column]) or _SENTENCE.search(cells[column]))
        ):
            found.append(f"no test for: {line}")
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_promise_has_a_test_and_every_named_test_is_there(name: str) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert len(_TEST.findall(page)) > 10
    assert faults(page) == []


HEAD = "| promise | the test that tries to break it |\n|---|---|\n"


@pytest.mark.parametrize(
    ("page", "count"),
    [
        (HEAD + "| a | `test_answer` |", 0),
        (HEAD + "| a | `test_of_nothing_at_all` |", 1),
        (HEAD + "| a | |", 1),
        (HEAD + "| a | `test_answer` |\n| b | some day |\n\n| c | d |\n|---|---|\n| e | f |", 1),
        ("`test_of_nothing_at_all` in `tests/nowhere.py`", 2),
        (HEAD + "| a | `tests/web/unit/lists.test.mjs`: “a spreadsheet takes no cell for a formula” |", 1),
        (HEAD + "| a | `tests/web/unit/lists.test.mjs` |", 1),
        (HEAD + "| a | `tests/web/unit/none.test.mjs`: “a” |", 2),
    ],
)
def test_a_promise_without_a_test_is_found(page: str, count: int) -> None:
    assert len(faults(page)) == count


def test_only_tests_count() -> None:
    assert "test_only_tests_count" in DEFINED
    assert Path(__file__).name not in DEFINED
