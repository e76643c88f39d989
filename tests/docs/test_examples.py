"""Every fenced block of the README and the docs is run, loaded or compared; one that cannot be is a failure."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskyard.settings import load
from tests.support.pages import ROOT, Block, Terminal, blocks, difference, missing_line

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TRANSLATED = [page for page in PAGES if page.name.endswith(".zh-CN.md")]
WITH_BLOCKS = [page for page in PAGES if page not in TRANSLATED and blocks(page)]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A reader's terminal."""
    made = Terminal(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_do_what_it_says(page: Path, terminal: Terminal) -> None:
    output: str | None = None
    for block in blocks(page):
        output = check(block, output, terminal)


def check(block: Block, output: str | None, terminal: Terminal) -> str | None:
    """Checks a block; `output` is that of the shell block just before it. The result is the output of this one."""
    if block.language == "sh":
        if block.text.startswith("make "):
            return make(block)
        return terminal.run(block.text)
    if block.language == "text":
        # Without a command before it, it is a picture.
        missing = None if output is None else missing_line(terminal.moved(block.text), output)
        assert missing is None, f"{block.where}: {missing!r} is not in the output:\n{output}"
        return None
    if block.language == "json":
        shown = json.loads(block.text)
        if output is not None:
            assert difference(shown, json.loads(output)) is None, (
                f"{block.where}: {difference(shown, json.loads(output))}"
            )
        return None
    if block.language == "python":
        python(block, terminal)
        return None
    if block.language == "ini":
        a_file(block)
        return None
    assert block.language == "toml", f"{block.where}: nothing runs a block of {block.language or 'no language'}"
    file = terminal.folder / "page.toml"
    file.write_text(block.text)
    load({"config": str(file)}, {}, terminal.folder)
    return None


def make(block: Block) -> str | None:
    """The demo of the first page is run; of all else it is asked whether there is such a target (CI runs the tests)."""
    output = None
    for line in block.text.splitlines():
        target = line.partition("#")[0].split()[1:]
        if target != ["demo"] or not block.where.startswith("README.md"):
            target = ["-n", *target]
        inherited = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
        done = subprocess.run(
            ["make", *target], cwd=ROOT, env=inherited, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, f"{block.where}: {line}\n{done.stdout}{done.stderr}"
        if "-n" not in target:
            output = done.stdout
    return output


def a_file(block: Block) -> None:
    """A file that is shown must be the one that its first line names. What it does has a test of its own."""
    file = ROOT / block.text.partition("\n")[0].removeprefix("# ")
    assert file.is_file(), f"{block.where}: the first line must name a file"
    assert block.text == file.read_text(encoding="utf-8").rstrip(), f"{block.where}: not as in {file.name}"


def python(block: Block, terminal: Terminal) -> None:
    """A file of the examples must be the one that is shown; anything else is run beside the page's node."""
    first = block.text.partition("\n")[0]
    if first.startswith("# examples/"):
        file = ROOT / first.removeprefix("# ")
        assert block.text == f"{first}\n{file.read_text(encoding='utf-8').rstrip()}", (
            f"{block.where}: not as in {first}"
        )
        return
    script = terminal.folder / "block.py"
    script.write_text(terminal.moved(block.text))
    terminal.run(f"{sys.executable} block.py")


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_translated_page_has_the_examples_of_the_page_that_is_run(page: Path) -> None:
    def examples(page: Path) -> list[tuple[str, str]]:
        shown = [(block.language, block.text) for block in blocks(page)]
        # The words within a picture are translated.
        return [block for number, block in enumerate(shown) if number or block[0] != "text"]

    assert examples(page) == examples(page.with_name(page.name.replace(".zh-CN.", ".")))


def test_the_ci_runs_the_readmes_test_command() -> None:
    assert any(block.text == "make test" for block in blocks(ROOT / "README.md"))
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_links_within_the_project_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: there is no {target}"


@pytest.mark.parametrize(
    ("language", "text", "output"),
    [
        ("", "ls", None),
        ("yaml", "a: 1", None),
        ("ini", "[Unit]", None),
        ("ini", "# deploy/taskyard.service\n[Unit]", None),
        ("sh", "false", None),
        ("sh", "false | true", None),
        ("sh", "true; ls nowhere; true", None),
        ("text", "3 COMPLETED", "3 FAILED\n"),
        ("text", "one\ntwo", "two\none\n"),
        ("json", '{"a": 1}', '{"a": 1, "b": 2}'),
        ("json", '{"a": "task_…"}', '{"a": "job_1"}'),
        ("json", '{"a": true}', '{"a": 1}'),
        ("python", "raise SystemExit(1)", None),
        ("python", "# examples/direct.py\nprint()", None),
    ],
)
def test_a_wrong_block_is_found(language: str, text: str, output: str | None, terminal: Terminal) -> None:
    with pytest.raises(AssertionError):
        check(Block("page:1", language, text), output, terminal)


def test_a_right_block_passes(terminal: Terminal) -> None:
    assert check(Block("page:1", "sh", "export A=1\necho $A"), None, terminal) == "1\n"
    assert check(Block("page:2", "sh", "echo $A task_01a20c90467973e3a198aac0141885c6  x"), None, terminal)
    check(Block("page:3", "text", "7 task_01… x"), "7 task_01a20c90467973e3a198aac0141885c6  x\n", terminal)
    check(Block("page:4", "json", '{"a": 1, "b": "task_…", "…": "…"}'), '{"a": 5, "b": "task_x", "c": 1}', terminal)
