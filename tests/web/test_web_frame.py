"""What the dashboard is served as: its files, its shell, and what of the vendored ones is what npm has."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from taskyard.web.cookies import cookies, session_of
from taskyard.web.files import STYLE, Files
from taskyard.web.languages import LANGUAGES, language_of
from taskyard.web.shell import PAGES, Reader, Shell

STATIC = Path(__file__).parents[2] / "taskyard" / "web" / "static"


def test_vendored_files_are_those_that_were_made() -> None:
    kept = json.loads((STATIC / "vendor" / "vendor.json").read_text(encoding="utf-8"))
    code = {path.name for path in (STATIC / "vendor").iterdir() if path.suffix in (".js", ".css", ".ts")}
    assert set(kept["files"]) == code
    for name, made in kept["files"].items():
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == made["sha256"], name
    lock = json.loads((STATIC.parents[2] / "tools" / "web" / "package-lock.json").read_text(encoding="utf-8"))
    for package in kept["packages"]:
        pinned = lock["packages"][f"node_modules/{package['name']}"]
        assert (pinned["version"], pinned["integrity"]) == (package["version"], package["integrity"])
        licence = package["name"].replace("@", "").replace("/", "-") + ".LICENSE"
        assert (STATIC / "vendor" / licence).read_text(encoding="utf-8")
    assert not any("resolved" in entry for entry in lock["packages"].values()), "no host is named"


def test_a_module_brings_those_that_it_imports_and_not_those_for_later() -> None:
    files = Files()
    found = files.modules("app.js")
    assert found[0] == "app.js"
    assert {"nav.js", "core/api.js", "vendor/preact.js"} <= set(found)
    assert "pages/overview.js" not in found
    overview = files.modules("pages/overview.js")
    assert "parts/chart.js" in overview
    assert "vendor/uplot.js" not in overview


def test_files_are_packed_once_and_named_by_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("export const a = 1;\n" * 100)
    (tmp_path / "secret.txt").write_text("not to be served")
    before = Files(tmp_path)
    assert set(before.all) == {"a.js"}
    packed = before.all["a.js"].packed
    assert packed is not None
    assert gzip.decompress(packed) == before.all["a.js"].body
    (tmp_path / "a.js").write_text("export const a = 2;\n" * 100)
    assert Files(tmp_path).hash != before.hash


def test_style_sheets_are_served_as_one_in_their_order(tmp_path: Path) -> None:
    for name in ("css/base.css", "css/a.css", "css/tokens.css", "vendor/uplot.css"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f".{Path(name).stem} {{ color: red }}")
    files = Files(tmp_path)
    assert set(files.all) == {"style.css"}
    named = re.findall(r"^\.(\w+)", files.all["style.css"].body.decode(), re.MULTILINE)
    assert named == ["tokens", "base", "uplot", "a"]
    page = Shell(files).page("/", Reader("en", "", {})).decode()
    assert re.findall(r'rel="stylesheet" href="(.*?)"', page) == [f"./static/{files.hash}/style.css"]


@pytest.mark.parametrize(("path", "root"), [("/", "./"), ("/tasks", "./"), ("/task/x", "../"), ("/servers/", "../")])
def test_links_go_up_from_where_the_page_is(path: str, root: str) -> None:
    page = Shell(Files()).page(path, Reader("zh-CN", "dark", {"name": '"><script>'})).decode()
    assert f'data-root="{root}"' in page
    assert '<html lang="zh-CN" data-theme="dark"' in page
    assert set(re.findall(r'(?:href|src)="((?:\.\./|\./)*)', page)) == {root}
    assert '"><script>' not in page


@pytest.mark.parametrize(
    ("chosen", "accept", "language"),
    [
        (None, "", "en"),
        (None, "zh-TW,zh;q=0.9,en;q=0.8", "zh-CN"),
        (None, "fr, en;q=0.5, zh;q=0.7", "zh-CN"),
        (None, "zh;q=0, en;q=x", "en"),
        ("en", "zh", "en"),
        ("../../etc", "zh", "zh-CN"),
    ],
)
def test_the_language_is_the_one_chosen_or_asked_for(chosen: str | None, accept: str, language: str) -> None:
    assert language_of(chosen, accept) == language


def test_cookies() -> None:
    assert cookies(b'a=1; b="2"; a=3; nothing; c=x=y') == {"a": "1", "b": "2", "c": "x=y"}
    for only in (False, True):
        assert session_of(b"taskyard=plain; __Host-taskyard=secure", secure_only=only) == "secure"
        assert session_of(b"other=1", secure_only=only) is session_of(None, secure_only=only) is None
    assert session_of(b"taskyard=plain", secure_only=False) == "plain"
    assert session_of(b"taskyard=plain", secure_only=True) is None


def test_nothing_animates_for_ever() -> None:
    styles = "".join(path.read_text(encoding="utf-8") for path in STATIC.glob("**/*.css"))
    assert "infinite" not in styles


@pytest.mark.parametrize("page", sorted({*PAGES.values(), "server"}))
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_load_is_small(page: str, language: str) -> None:
    """What is there before a page stands; a chart's module comes after that."""
    files = Files()
    wanted = [*files.modules("app.js", f"pages/{page}.js"), f"i18n/{language}.json", STYLE]
    sizes = {path: len(files.all[path].packed or files.all[path].body) for path in wanted}
    assert sum(sizes.values()) <= 80_000, sizes
