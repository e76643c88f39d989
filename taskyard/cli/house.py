"""The data directory as commands on the node's machine use it: its settings, its lock, and the key beside it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskyard.cli.stop import Stop

if TYPE_CHECKING:
    from taskyard.settings import Settings
    from taskyard.store.directory import DataDirectory

DataDir = Annotated[
    str | None, typer.Option("--data-dir", help="The data folder, ./taskyard-data if not given.", show_default=False)
]
Config = Annotated[str | None, typer.Option("--config", help="The node's configuration file.", show_default=False)]
# A backup's key stands beside it under this suffix.
KEY_SUFFIX = ".secret_key"


def settings_of(data_dir: str | None, config: str | None) -> "Settings":
    """The node's settings. Raises Stop."""
    from taskyard.settings import SettingsError, load

    try:
        settings = load({"data_dir": data_dir, "config": config}, os.environ)
    except SettingsError as error:
        raise Stop(str(error), 2) from None
    if settings.database is not None:
        raise Stop("the tasks are kept in a database server: use its own tools for that (pg_dump, pg_restore)", 2)
    return settings


@contextmanager
def held(path: Path, *, create: bool = False) -> "Iterator[DataDirectory | None]":
    """The data directory, held so that no node can start on it; None when a node runs on it. Raises Stop."""
    from taskyard.store.directory import DataDirectory
    from taskyard.store.port import InUse, Unusable

    try:
        directory = DataDirectory(path, create=create)
    except InUse:
        yield None
        return
    except Unusable as error:
        raise Stop(str(error), 2) from None
    try:
        yield directory
    finally:
        directory.release()


def key_of(path: Path) -> str | None:
    """The secret key in a file, None without one. Raises Stop."""
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a key"
        raise Stop(f"{path} cannot be read: {reason}") from None


def about_backup(error: Exception) -> str:
    """What is wrong with a backup. What the store proposes for a database, a backup, is no way out of that."""
    wrong, proposed, _ = str(error).partition(": restore it from a backup")
    return f"{wrong}: take another backup" if proposed else wrong


def progress(what: str, left: int, pages: int) -> None:
    """How far a copy is, on a terminal."""
    import sys

    if sys.stderr.isatty() and pages:
        end = "\r" if left else "\n"
        print(f"{what}: {100 * (pages - left) // pages} %", end=end, file=sys.stderr, flush=True)
