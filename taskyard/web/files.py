"""The dashboard's files: read once, named by a hash of them all, compressed once. No request reaches the disk.

The style sheets are served as one, for each alone compresses badly; all else is served as it stands.
"""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

MEDIA = {
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".json": b"application/json",
    ".svg": b"image/svg+xml",
}
STYLE = "style.css"
# Later rules win: what all pages use comes first.
FIRST_STYLES = ("css/tokens.css", "css/base.css", "vendor/uplot.css")
# Compressed, they would not be smaller by much.
_SMALL = 256
_HASH_CHARACTERS = 16
# `import x from "./y.js"`, `import "./y.js"`, `export … from "./y.js"`; not `import("./y.js")`, which is for later.
_IMPORT = re.compile(r"""^(?:import|export)\b[^"'();]*?["'](\.{1,2}/[^"']+)["']""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class File:
    """One file: its bytes as they stand, the same by gzip where that is smaller, and its media type."""

    body: bytes
    packed: bytes | None
    media: bytes


class Files:
    """All files by their path below `static/`. `hash` changes when one of them does."""

    def __init__(self, folder: Traversable | None = None) -> None:
        found = dict(_read(folder or files("taskyard.web") / "static", ""))
        styles = sorted(path for path in found if path.endswith(".css"))
        if styles:
            ordered = sorted(styles, key=lambda path: FIRST_STYLES.index(path) if path in FIRST_STYLES else len(styles))
            found[STYLE] = _packed(b"\n".join(_named(path, found.pop(path)) for path in ordered), MEDIA[".css"])
        self.all = {path: found[path] for path in sorted(found)}
        digest = hashlib.sha256()
        for path, file in self.all.items():
            digest.update(b"%b\0%d\0%b" % (path.encode(), len(file.body), file.body))
        self.hash = digest.hexdigest()[:_HASH_CHARACTERS]
        self._imports = {
            path: [posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) for name in _names(file)]
            for path, file in self.all.items()
            if path.endswith(".js")
        }

    def modules(self, *entries: str) -> list[str]:
        """The modules that these import, themselves first, in the order in which a browser would come upon them."""
        found = dict.fromkeys(entry for entry in entries if entry in self._imports)
        waiting = list(found)
        for path in waiting:
            for name in self._imports[path]:
                if name in self._imports and name not in found:
                    found[name] = None
                    waiting.append(name)
        return list(found)


def _names(file: File) -> list[str]:
    return _IMPORT.findall(file.body.decode("utf-8"))


def _named(path: str, file: File) -> bytes:
    return b"/* %b */\n%b" % (path.encode(), file.body)


def _packed(body: bytes, media: bytes) -> File:
    packed = gzip.compress(body, 9, mtime=0) if len(body) >= _SMALL else None
    return File(body, packed if packed and len(packed) < len(body) else None, media)


def _read(folder: Traversable, prefix: str) -> list[tuple[str, File]]:
    found: list[tuple[str, File]] = []
    for entry in folder.iterdir():
        path = prefix + entry.name
        media = MEDIA.get(posixpath.splitext(path)[1])
        if entry.is_dir():
            found += _read(entry, path + "/")
        elif media is not None and not path.endswith(".d.ts"):
            found.append((path, _packed(entry.read_bytes(), media)))
    return found
