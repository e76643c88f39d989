"""Which operation a path and method mean: a tree of path segments, built once from the table."""

from __future__ import annotations

from collections.abc import Iterable

from taskyard.api.operation import Operation


class _Step:
    """A place in the tree; `any` follows a segment that is a variable."""

    __slots__ = ("any", "methods", "named")

    def __init__(self) -> None:
        self.named: dict[str, _Step] = {}
        self.any: _Step | None = None
        self.methods: dict[str, Operation] = {}


class Router:
    """Finds operations. A trailing slash does not matter; HEAD is GET."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._root = _Step()
        self._plain: dict[str, dict[str, Operation]] = {}
        for operation in operations:
            for path in (operation.path, *operation.aliases):
                methods = self._at(path).methods
                for method in (operation.method, *operation.also):
                    assert method not in methods, f"{method} {path} stands twice in the table"
                    methods[method] = operation
                if "{" not in path:
                    self._plain[path] = methods

    def _at(self, path: str) -> _Step:
        step = self._root
        for segment in path.split("/")[1:]:
            if "{" in segment:
                step.any = step.any or _Step()
                step = step.any
            else:
                step = step.named.setdefault(segment, _Step())
        return step

    def find(self, path: str) -> tuple[dict[str, Operation], tuple[str, ...]] | None:
        """The operations of a path by method, and its variable parts; `None` when there is no such path."""
        methods = self._plain.get(path)
        if methods is not None:
            return methods, ()
        if len(path) > 1 and path[-1] == "/":
            path = path[:-1]
        step = self._root
        args: list[str] = []
        for segment in path.split("/")[1:]:
            following = step.named.get(segment)
            if following is None:
                if step.any is None or not segment:
                    return None
                args.append(segment)
                following = step.any
            step = following
        return (step.methods, tuple(args)) if step.methods else None


def allowed(methods: Iterable[str]) -> str:
    """The value of an `Allow` header."""
    names = {*methods, "OPTIONS"}
    if "GET" in names:
        names.add("HEAD")
    return ", ".join(sorted(names))
