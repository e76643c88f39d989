"""The heart runs anywhere: `domain/` and `engine/` use the standard library's pure parts only, and never reach out."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "taskyard"
HEART = sorted(path for folder in ("domain", "engine") for path in (PACKAGE / folder).rglob("*.py"))
# What a browser, a simulation and a database's own process all have, and what does nothing by itself.
PURE = {
    "__future__",
    "array",
    "base64",
    "binascii",
    "bisect",
    "collections",
    "collections.abc",
    "copy",
    "dataclasses",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "math",
    "operator",
    "random",
    "re",
    "string",
    "struct",
    "types",
    "typing",
    "urllib.parse",
}
# `random.Random` is a type here: an instance comes in as an argument.
ONLY = {"random": {"Random"}}
REACHING_OUT = {"socket", "asyncio", "threading", "subprocess", "multiprocessing", "sqlite3", "ssl"}
FORBIDDEN_NAMES = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint", "globals"}
# What may be called while a module is imported: it makes types and tables, and asks nobody for anything.
AT_IMPORT = {
    "TypeVar",
    "NewType",
    "dataclass",
    "field",
    "lru_cache",
    "frozenset",
    "dict",
    "tuple",
    "list",
    "set",
    "int",
    "len",
    "range",
    "sum",
    "max",
    "min",
    "map",
    "zip",
    "sorted",
    "enumerate",
    "isinstance",
    "re.compile",
    "MappingProxyType",
}


def offences(source: str) -> list[str]:
    """Each breach of the rules in a module's text, as `line: what`."""
    tree = ast.parse(source)
    own = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    # An exception's constructor and the types of this package only make values.
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("taskyard.")
        for alias in node.names
    }
    found = [f"{line}: {what}" for line, what in _imports(tree)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES and isinstance(node.ctx, ast.Load):
            found.append(f"{node.lineno}: {node.id}")
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            found.append(f"{node.lineno}: async")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Random":
            found.append(f"{node.lineno}: makes its own Random")
    for call in _calls_at_import(tree):
        name = ast.unparse(call.func)
        root = name.partition(".")[0]
        if name not in AT_IMPORT and root not in own and root not in imported:
            found.append(f"{call.lineno}: {name}() at import")
    return found


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name not in PURE or alias.name in ONLY:
                    yield node.lineno, f"import {alias.name}"
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level or module.split(".")[:2] in (["taskyard", "domain"], ["taskyard", "engine"]):
                continue
            for alias in node.names:
                if module not in PURE or alias.name not in ONLY.get(module, {alias.name}):
                    yield node.lineno, f"from {module} import {alias.name}"


def _calls_at_import(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls that run when the module is imported: not those in the bodies of functions."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            yield node
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
            continue
        waiting += ast.iter_child_nodes(node)


@pytest.mark.parametrize("path", HEART, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_of_the_heart_keeps_the_rules(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import time", "import time"),
        ("import asyncio", "import asyncio"),
        ("import random", "import random"),
        ("from random import choice", "from random import choice"),
        ("from os import environ", "from os import environ"),
        ("from pathlib import Path", "from pathlib import Path"),
        ("from urllib.request import urlopen", "from urllib.request import urlopen"),
        ("from urllib import request", "from urllib import request"),
        ("import msgspec", "import msgspec"),
        ("from taskyard.wire.base import Answer", "from taskyard.wire.base import Answer"),
        ("def f():\n    import socket", "import socket"),
        ("def f():\n    open('x')", "open"),
        ("from random import Random\ndef f():\n    return Random(1)", "makes its own Random"),
        ("import hashlib\nKEY = hashlib.sha256(b'')", "hashlib.sha256() at import"),
        ("def f(now=clock()): ...", "clock() at import"),
        ("class A:\n    made = later()", "later() at import"),
        ("async def f(): ...", "async"),
    ],
)
def test_a_breach_is_found(source: str, what: str) -> None:
    assert [offence.partition(": ")[2] for offence in offences(source)][:1] == [what]


def test_the_heart_loads_no_third_party_module_and_nothing_that_reaches_out() -> None:
    names = [
        ".".join(("taskyard", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in HEART
    ]
    # Without the site's packages; modules that the interpreter itself has loaded are no concern of ours.
    program = (
        "import sys\nbefore = set(sys.modules)\n"
        f"sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
        f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before} - {'taskyard'}\n"
        "print(sorted(loaded - sys.stdlib_module_names))\n"
        f"print(sorted(loaded & {REACHING_OUT!r}))\n"
        "print(sorted(name for name in sys.modules if name.startswith('taskyard.') "
        "and name.split('.')[1] not in ('domain', 'engine')))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == ["[]", "[]", "[]"]
