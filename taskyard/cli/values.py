"""What people write for an option, read: payloads, durations, times. A wrong one is a usage error."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer


def content(written: str, what: str) -> bytes:
    """The bytes of `@file`, of stdin for `-`, else of the text itself."""
    try:
        if written == "-":
            return sys.stdin.buffer.read()
        if written.startswith("@"):
            return Path(written[1:]).expanduser().read_bytes()
        return written.encode()
    except OSError as error:
        raise typer.BadParameter(f"{written[1:]} cannot be read: {error.strerror}", param_hint=what) from None
    except UnicodeEncodeError:
        raise typer.BadParameter("is not valid UTF-8", param_hint=what) from None


def json_object(written: str, what: str) -> bytes:
    """The bytes of a JSON object, as they are, from `@file`, `-` or the text itself."""
    found = content(written, what)
    try:
        value = json.loads(found.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise typer.BadParameter("is not valid UTF-8", param_hint=what) from None
    except RecursionError:
        raise typer.BadParameter("is nested too deep", param_hint=what) from None
    except ValueError as error:
        example = f'{what} \'{{"prompt": "hello"}}\''
        raise typer.BadParameter(
            f"is not JSON: {error}; write it in quotes, as in {example}, or give @file, or - for stdin",
            param_hint=what,
        ) from None
    if not isinstance(value, dict):
        raise typer.BadParameter('is JSON but no object; write {"name": value}', param_hint=what)
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _duration(written: str) -> int:
    from taskyard.settings.units import duration

    try:
        return duration(written)
    except ValueError as error:
        raise typer.BadParameter(f"{written!r} {error}") from None


def _moment(written: str) -> int:
    if written.isascii() and written.isdigit():
        return int(written)
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        raise typer.BadParameter(
            f"{written!r} is not a time; write ms since the epoch, 2026-01-31, or 2026-01-31T12:00 (UTC)"
        ) from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def duration_option(name: str, help: str) -> Any:
    """An option that takes 1500 (ms), 30s, 5m, 7d."""
    return typer.Option(name, help=help, parser=_duration, metavar="DURATION", show_default=False)


def moment_option(name: str, help: str) -> Any:
    """An option that takes ms since the epoch or an ISO date and time."""
    return typer.Option(name, help=help, parser=_moment, metavar="TIME", show_default=False)


TaskIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Task ids.", show_default=False)]
SomeTaskIds = Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Task ids.", show_default=False)]
TaskId = Annotated[str, typer.Argument(metavar="ID", help="The task's id.", show_default=False)]
ServerId = Annotated[str, typer.Argument(metavar="ID", help="The server's id.", show_default=False)]
