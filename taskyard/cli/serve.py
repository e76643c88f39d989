"""`taskyard serve`: settings from flags, environment and file, then the node itself."""

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskyard.cli.stop import Stop

if TYPE_CHECKING:
    from taskyard.settings import Settings

# The token that --dev prints: long enough for an afternoon's trial.
_DEV_LIFETIME_MS = 7 * 86_400_000


def _flag(name: str, help: str) -> Any:
    return typer.Option(name, help=help, show_default=False)


def serve(
    host: Annotated[str | None, _flag("--host", "The address to listen on, 127.0.0.1 if not given.")] = None,
    port: Annotated[
        int | None, _flag("--port", "The port to listen on, 8787 if not given; 0 takes a free one.")
    ] = None,
    data_dir: Annotated[str | None, _flag("--data-dir", "The data folder, ./taskyard-data if not given.")] = None,
    database: Annotated[str | None, _flag("--database", "A postgresql:// URL, instead of a file.")] = None,
    public_url: Annotated[str | None, _flag("--public-url", "The address at which backends reach this node.")] = None,
    log_level: Annotated[str | None, _flag("--log-level", "debug, info, warning or error.")] = None,
    config: Annotated[str | None, _flag("--config", "A TOML file, taskyard.toml if there is one.")] = None,
    dev: Annotated[bool, typer.Option("--dev", help="For trying it out: makes a secret, prints a token.")] = False,
) -> None:
    """Runs a node until it is told to stop."""
    from taskyard.settings import SettingsError, load, with_jwt_secret

    flags = {
        "host": host,
        "port": port,
        "data_dir": data_dir,
        "database": database,
        "public_url": public_url,
        "log_level": log_level,
        "config": config,
        "dev": dev or None,
    }
    try:
        settings = with_jwt_secret(load(flags, os.environ))
    except SettingsError as error:
        raise Stop(str(error), 2) from None

    from taskyard.api.node import run
    from taskyard.host.errors import StartError

    try:
        run(settings, _greet)
    except StartError as error:
        raise Stop(str(error), 2) from None


def _greet(settings: "Settings") -> None:
    """The node listens: only now is its address worth printing."""
    if settings.dev:
        print(first_steps(settings, time.time_ns() // 1_000_000), flush=True)


def first_steps(settings: "Settings", now_ms: int) -> str:
    """What --dev prints: an admin token and a first call to paste. `settings` have the port that was bound."""
    from taskyard.tokens import sign

    signed = sign(settings.jwt_secret[0].reveal(), "dev", ["admin"], _DEV_LIFETIME_MS, now_ms)
    url = settings.public_base()
    return (
        f"An admin token, valid for a week:\n\n  export TASKYARD_URL={url}\n  export TASKYARD_TOKEN={signed}\n\n"
        "A first task (it waits until a server that can do it is registered):\n\n"
        f'  curl -s {url}/api/task -H "Authorization: Bearer $TASKYARD_TOKEN" \\\n'
        '    -d \'{"type": "shout", "payload": {"text": "hello"}, "capabilities": ["shouting"]}\'\n'
    )
