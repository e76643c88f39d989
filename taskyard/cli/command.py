"""What all commands that call a node share: their options, the client, and errors that say what to do."""

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from taskyard.cli.stop import Stop

if TYPE_CHECKING:
    from taskyard.client import Client, TaskyardError

Url = Annotated[
    str | None,
    typer.Option("--url", help="The node's address (or TASKYARD_URL, or a profile).", show_default=False),
]
Token = Annotated[
    str | None,
    typer.Option("--token", help="The token (or TASKYARD_TOKEN, or a profile).", show_default=False),
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", help="The profile in ~/.config/taskyard/config.toml.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="JSON for scripts; in a pipe one object a line, also of a list.")]
_COMMON: dict[str, tuple[Any, Any]] = {
    "url": (Url, None),
    "token": (Token, None),
    "profile": (Profile, None),
    "as_json": (Json, False),
}
Function = TypeVar("Function", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class Yard:
    """What a command gets as its first argument: the client, and whether to print JSON."""

    client: "Client"
    as_json: bool


def calls(app: typer.Typer, name: str) -> Callable[[Function], Function]:
    """Registers `function(yard, …)` as the command `name` of `app`, with the options that all calls share."""

    def register(function: Function) -> Function:
        own = list(inspect.signature(function).parameters.values())[1:]
        common = [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
            for option, (kind, default) in _COMMON.items()
        ]

        def run(**given: Any) -> None:
            target = {option: given.pop(option) for option in _COMMON}
            with yard_of(**target) as yard:
                function(yard, **given)

        run.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *common]}
        run.__doc__ = function.__doc__
        app.command(name)(run)
        return function

    return register


@contextmanager
def yard_of(url: str | None, token: str | None, profile: str | None, as_json: bool) -> Iterator[Yard]:
    """The node that the options name, to be called within; errors of calls become Stop."""
    from taskyard.cli.profiles import target
    from taskyard.client import Client, TaskyardError

    found = target(url, token, profile, os.environ)
    try:
        client = Client(found.url, found.token)
    except ValueError as error:
        if str(error).startswith("the token"):
            raise Stop(f"{error} ({found.token_from})", 2) from None
        raise Stop(f"the node's address ({found.url_from}) is not an http:// or https:// URL: {found.url}", 2) from None
    with client:
        try:
            yield Yard(client, as_json)
        except TaskyardError as error:
            raise Stop(advice(error, client.url, found.url_from)) from None


def advice(error: "TaskyardError", url: str, url_from: str) -> str:
    """What went wrong, and what to do about it. `url_from`: what gave the node's address, such as TASKYARD_URL."""
    from taskyard.client import ConnectionFailed, Forbidden, StrangeAnswer, Unauthorized

    if isinstance(error, ConnectionFailed):
        return f"{error}; is the node running (`taskyard serve`), and is this its address ({url_from})?"
    if isinstance(error, StrangeAnswer):
        return f"{error}; is this the node's address ({url_from})?"
    if isinstance(error, Unauthorized):
        return f"{error}; {url} does not take this token: make another with `taskyard token` under this node's secret"
    if isinstance(error, Forbidden):
        return f"{error}; this token may not do that: make one with `taskyard token --role admin`"
    return str(error)


def each(yard: Yard, names: list[str], call: Callable[[str], dict[str, Any]], told: str = "") -> None:
    """Makes `call` for every name and tells each outcome; a refusal does not stop the rest, but ends with code 1.

    `told`: what people are told of a success, `{id}` being the name; without it the answer's own message.
    """
    from taskyard.cli import show
    from taskyard.client import Conflict, NotFound, Refused

    failed = 0
    for name in names:
        try:
            answer = call(name)
        except (Conflict, NotFound, Refused) as error:
            failed += 1
            show.note(f"{name}: {error}")
            continue
        if yard.as_json:
            show.json_line(answer)
        else:
            show.line(f"{name}: {told.format(id=name) if told else answer.get('message', 'done')}")
    if failed:
        raise Stop(f"{failed} of {len(names)} failed")
