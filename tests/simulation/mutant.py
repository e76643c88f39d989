"""Mutants: named bugs, as patches of the product or of the simulated host, that the oracle must find.

Each is a function that puts its patch on through `swap(owner, name, value)`; `applied` takes it off again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

Swap = Callable[[Any, str, Any], None]
Mutant = Callable[[Swap], None]

MUTANTS: dict[str, Mutant] = {}
NODES: dict[str, Mutant] = {}  # those that show only where there are several nodes
FOCUS: dict[str, dict[str, Any]] = {}  # mutant of nodes -> what every blow is like where it shows
ONLY: dict[str, tuple[str, ...]] = {}  # mutant -> the faults without which nothing can find it


def mutant(put_on: Mutant) -> Mutant:
    """Register a mutant under its function's name."""
    MUTANTS[put_on.__name__] = put_on
    return put_on


def found_only_by(*faults: str) -> Callable[[Mutant], Mutant]:
    """Register a mutant that shows only where one of these faults happens."""

    def register(put_on: Mutant) -> Mutant:
        ONLY[put_on.__name__] = faults
        return mutant(put_on)

    return register


def of_nodes(put_on: Mutant) -> Mutant:
    """Register a mutant that shows only where there are several nodes."""
    NODES[put_on.__name__] = put_on
    return put_on


def of_nodes_when(**blow: Any) -> Callable[[Mutant], Mutant]:
    """Register a mutant that shows where several nodes are struck so, again and again."""

    def register(put_on: Mutant) -> Mutant:
        FOCUS[put_on.__name__] = blow
        return of_nodes(put_on)

    return register


@contextmanager
def applied(name: str) -> Iterator[None]:
    """Run with a mutant on. Raises `KeyError` for an unknown name."""
    undo: list[Callable[[], None]] = []

    def swap(owner: Any, attribute: str, value: Any) -> None:
        if isinstance(owner, dict):
            undo.append(partial(owner.__setitem__, attribute, owner[attribute]))
            owner[attribute] = value
        else:
            undo.append(partial(setattr, owner, attribute, getattr(owner, attribute)))
            setattr(owner, attribute, value)

    (MUTANTS | NODES)[name](swap)
    try:
        yield
    finally:
        for back in reversed(undo):
            back()


def around(swap: Swap, owner: Any, name: str, wrap: Callable[..., Any]) -> None:
    """Put `wrap(original, *arguments)` in the place of a function."""
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        return wrap(original, *arguments, **named)

    swap(owner, name, wrapped)
