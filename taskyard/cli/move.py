"""`taskyard move`: a stopped yard from a data folder into PostgreSQL, or back, with all that waits and runs."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from taskyard.cli.command import Json
from taskyard.cli.house import Config, key_of
from taskyard.cli.stop import Stop

if TYPE_CHECKING:
    from taskyard.store.move.move import Moved, Told
    from taskyard.store.move.sides import Source, Target

_FILE = "sqlite://"
_SERVER = ("postgresql://", "postgres://")
_AGAIN = "run the same command again to go on, or with --give-up to end the move and have everything as before"


def move(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FROM", help="sqlite://DATA-DIR or postgresql://…, its nodes stopped.", show_default=False
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="The other kind of address, with nothing in it.", show_default=False)
    ],
    config: Config = None,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="End a move that was cut short: FROM as before, TO empty.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Moves all that a yard keeps into another database: what waits goes on there, callbacks still arrive.

    It can be killed at any time and run again. Exit code 0: moved and compared row by row; 1: it failed; 2: refused.
    """
    from taskyard.store.port import StoreError, Unusable

    began = time.monotonic()
    keys = _Keys.of(source, target, config)
    try:
        with _sides(source, target, keys.fingerprints) as (out, into):
            from taskyard.store.move.move import Move

            plan = Move(out, into, _progress(), keys.put_down)
            if give_up:
                plan.give_up()
                _tell_given_up(out.shown, into.shown, as_json)
                return
            if out.mark() is None:
                keys.check(out.sealed, out.shown)
            moved = plan.run(os.urandom(8).hex(), time.time_ns() // 1_000_000)
            _tell(out.shown, into.shown, moved, keys, time.monotonic() - began, as_json)
    except Unusable as error:
        raise Stop(error.in_full, 2) from None
    except StoreError as error:
        raise Stop(f"{error.in_full}; {_AGAIN}") from None
    except KeyboardInterrupt:
        raise Stop(f"stopped; {_AGAIN}", 130) from None


class _Keys(NamedTuple):
    """The secret keys: both yards must have the same, or callbacks are refused and stored apiKeys are lost.

    `folder` is the data folder; `there` what its key file holds.
    """

    keys: list[str]
    there: str | None
    folder: Path
    to_server: bool
    configured: bool

    @classmethod
    def of(cls, source: str, target: str, config: str | None) -> "_Keys":
        """From the settings and the data folder. Raises Stop."""
        from taskyard.host.keys import KEY_FILE
        from taskyard.settings import SettingsError, load

        kinds = [address.startswith(_FILE) for address in (source, target)]
        if kinds[0] == kinds[1] or not any(address.startswith(_SERVER) for address in (source, target)):
            raise Stop("one address must begin with sqlite:// and the other with postgresql://", 2)
        folder = _folder(source if kinds[0] else target)
        try:
            settings = load({"config": config}, os.environ)
        except SettingsError as error:
            raise Stop(str(error), 2) from None
        given = [key.reveal() for key in settings.secret_key]
        there = key_of(folder / KEY_FILE)
        if there is not None and given and there not in given:
            raise Stop(
                f"{folder / KEY_FILE} holds another key than TASKYARD_SECRET_KEY, and both yards must have the same: "
                "unset that variable, or give it both keys with a comma between, that of the running nodes first",
                2,
            )
        if not given and (there is None or not kinds[0]):
            raise Stop(
                "the secret key is missing: set TASKYARD_SECRET_KEY as the nodes had it, since callbacks of running "
                "tasks and stored apiKeys are of no use under another one",
                2,
            )
        return cls(given or [str(there)], there, folder, kinds[0], bool(given))

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of each key, the present one first."""
        from taskyard.host.keys import fingerprint

        return tuple(fingerprint(key) for key in self.keys)

    def check(self, sealed: Callable[[], list[tuple[str, str]]], shown: str) -> None:
        """Raises Stop when a stored apiKey cannot be read with these keys: they are not the yard's."""
        from taskyard.host.keys import Keys

        keys = Keys(self.keys)
        for server, text in sealed():
            if keys.open(text) is None:
                raise Stop(
                    f"{shown}: the apiKey of {server} cannot be read with this secret key: give the one that the nodes "
                    "had in TASKYARD_SECRET_KEY",
                    2,
                )

    def put_down(self) -> None:
        """Give a new data folder the key, when there is one alone. Raises Stop."""
        from taskyard.host.keys import KEY_FILE
        from taskyard.settings.secretfile import write_secret

        if self.to_server or self.there is not None or len(self.keys) > 1:
            return
        try:
            write_secret(self.folder / KEY_FILE, self.keys[0])
        except OSError as error:
            raise Stop(f"{self.folder / KEY_FILE} cannot be written: {error.strerror}; {_AGAIN}") from None

    def advice(self) -> str:
        """What to do about the key before a node starts on the other yard."""
        from taskyard.host.keys import KEY_FILE

        if self.to_server:
            if self.configured:
                return "give every node the same TASKYARD_SECRET_KEY as now"
            return f"give every node TASKYARD_SECRET_KEY, the text in {self.folder / KEY_FILE}"
        if len(self.keys) > 1:
            return "give the node the same TASKYARD_SECRET_KEY as now, with all its keys"
        return f"the key stands in {self.folder / KEY_FILE}"


def _folder(address: str) -> Path:
    path = address.removeprefix(_FILE)
    if not path:
        raise Stop("sqlite:// must be followed by the data folder, such as sqlite:///var/lib/taskyard", 2)
    return Path(path).expanduser().absolute()


@contextmanager
def _sides(source: str, target: str, fingerprints: tuple[str, ...]) -> "Iterator[tuple[Source, Target]]":
    """Both yards, opened. Raises `StoreError`."""
    from taskyard.store.move.file import FileSource, FileTarget
    from taskyard.store.move.server_source import ServerSource
    from taskyard.store.move.server_target import ServerTarget

    with ExitStack() as opened:
        out: Source
        into: Target
        if source.startswith(_FILE):
            out = FileSource(_folder(source))
            opened.callback(out.close)
            into = ServerTarget(target, fingerprints)
            opened.callback(into.close)
        else:
            out = ServerSource(source, fingerprints)
            opened.callback(out.close)
            into = FileTarget(_folder(target))
            opened.callback(into.close)
        yield out, into


def _progress() -> "Told":
    """Writes to the terminal how far it is, a line for each table."""
    shown = [0.0]

    def told(what: str, table: str, rows: int, count: int) -> None:
        if not sys.stderr.isatty() or (rows < count and time.monotonic() - shown[0] < 0.1):
            return
        shown[0] = time.monotonic()
        end = "\n" if rows >= count else "\r"
        print(f"{what} {table}: {rows} of {count}", end=end, file=sys.stderr, flush=True)

    return told


def _tell(source: str, target: str, moved: "Moved", keys: _Keys, seconds: float, as_json: bool) -> None:
    from taskyard.cli import show

    if as_json:
        show.json_line(
            {
                "from": source,
                "to": target,
                "rows": moved.rows,
                "waiting": moved.live.waiting,
                "running": moved.live.running,
                "accepted": moved.live.accepted,
                "resumed": moved.resumed,
                "seconds": round(seconds, 3),
                "keyFingerprint": keys.fingerprints[0],
            }
        )
        return
    tasks, live = moved.rows.get("task", 0), moved.live
    show.line(
        f"moved to {target}: {tasks} tasks, of which {live.waiting} wait and {live.running} run ({live.accepted} of "
        f"these will be called back), {sum(moved.rows.values())} rows in all, each compared"
    )
    show.line(f"{source}: what was there stays, and no node starts on it any more")
    show.line(f"before you start a node there: {keys.advice()}; JWT_SECRET and --public-url as before")


def _tell_given_up(source: str, target: str, as_json: bool) -> None:
    from taskyard.cli import show

    if as_json:
        show.json_line({"from": source, "to": target, "givenUp": True})
    else:
        show.line(f"{source}: the move was given up, nodes can start on it; {target} is empty again")
