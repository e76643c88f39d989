"""What is installed is named, pinned and hashed, and comes from whatever index the installer is set to."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
_PIN = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,_-]+\])?==[^\s;]+( ; .+)?")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def faults(lock: str) -> list[str]:
    """What of a lock is not a pinned name with its hashes."""
    found = []
    for entry in lock.replace("\\\n", " ").splitlines():
        bare = entry.partition("#")[0].strip()
        hashes = _HASH.findall(bare)
        name = _HASH.sub("", bare).strip()
        if name and not (hashes and _PIN.fullmatch(name)):
            found.append(entry)
    return found


def test_there_are_locks() -> None:
    assert {lock.name for lock in LOCKS} >= {"run.txt", "test.txt", "build.txt"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_with_its_hashes(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "==" in text
    assert faults(text) == []
    assert "://" not in text, "no host is named"


@pytest.mark.parametrize(
    "line",
    [
        "a>=1 --hash=sha256:" + "0" * 64,
        "a==1",
        "a @ file:///tmp/a --hash=sha256:" + "0" * 64,
        "--index-url x",
        "-e .",
        "a==1 --hash=md5:" + "0" * 32,
    ],
)
def test_what_is_not_pinned_is_found(line: str) -> None:
    assert faults(line) == [line]


def test_whatever_is_installed_is_checked_against_a_lock() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = re.findall(r"\binstall -.*", makefile)
    assert any("--require-hashes" in recipe for recipe in recipes)
    # What brings nothing with it is the package itself, from this folder.
    assert [recipe for recipe in recipes if "--require-hashes" not in recipe and "--no-deps" not in recipe] == []
