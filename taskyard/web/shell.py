"""The page around the dashboard: made for each reader's language and theme, so that nothing flashes, with no inline
script or style. What differs by page comes from the files; knows nothing of tasks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from taskyard.web.files import STYLE, Files

THEMES: Final = ("light", "dark")
# The pages by the first part of their path, with the module that shows each.
PAGES: Final = {
    "": "overview",
    "tasks": "tasks",
    "task": "task",
    "servers": "servers",
    "failures": "failures",
    "balance": "balance",
    "stats": "stats",
    "system": "system",
    "signin": "signin",
}
PATHS: Final = (
    "/",
    "/tasks",
    "/task/{id}",
    "/servers",
    "/servers/{id}",
    "/failures",
    "/balance",
    "/stats",
    "/system",
    "/signin",
)
CSP: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)
_NO_SCRIPT: Final = {
    "en": "This dashboard needs JavaScript. Without it, the command line shows the same:",
    "zh-CN": "此页面需要 JavaScript。没有它时，命令行可以看到同样的内容：",
}
_COMMANDS: Final = ("taskyard stats", "taskyard tasks list", "taskyard lanes", "taskyard servers list")


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a page is made. `theme` is one of `THEMES`, or empty to follow the system; `boot` is what the page
    knows from the start: any JSON object."""

    language: str
    theme: str
    boot: dict[str, Any]


class Shell:
    """Renders the page for a path."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def page(self, path: str, reader: Reader) -> bytes:
        """The HTML. All its links go up from `path`, so that a proxy may serve the dashboard below any prefix."""
        root = "../" * (path.count("/") - 1) or "./"
        static = f"{root}static/{self._files.hash}/"
        section = path.split("/")[1]
        page = "server" if path.startswith("/servers/") and len(path) > len("/servers/") else PAGES.get(section, "")
        modules = self._files.modules("app.js", f"pages/{page}.js")
        theme = f' data-theme="{reader.theme}"' if reader.theme in THEMES else ""
        boot = json.dumps(reader.boot, ensure_ascii=False, separators=(",", ":"))
        language = reader.language
        dictionary = f"{static}i18n/{language}.json"
        lines = [
            "<!DOCTYPE html>",
            f'<html lang="{language}"{theme} data-root="{root}" data-boot="{escape(boot)}">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            "<title>Taskyard</title>",
            f'<link rel="icon" href="{static}icon.svg" type="image/svg+xml">',
            f'<link rel="stylesheet" href="{static}{STYLE}">',
            f'<link rel="preload" href="{dictionary}" as="fetch" crossorigin>',
            *(f'<link rel="modulepreload" href="{static}{module}">' for module in modules),
            f'<script type="module" src="{static}app.js"></script>',
            "</head>",
            "<body>",
            '<div id="app"></div>',
            "<noscript>",
            '<main class="alone">',
            "<h1>Taskyard</h1>",
            f"<p>{_NO_SCRIPT[language]}</p>",
            "<ul>",
            *(f"<li><code>{command}</code></li>" for command in _COMMANDS),
            "</ul>",
            f'<p><a href="{root}docs">API</a></p>',
            "</main>",
            "</noscript>",
            "</body>",
            "</html>",
            "",
        ]
        return "\n".join(lines).encode()
