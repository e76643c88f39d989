"""`taskyard prove`: the promises put to the proof on this machine and this disk, and a report that can be shown."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from taskyard.cli import show
from taskyard.cli.command import Json
from taskyard.cli.house import Config
from taskyard.cli.stop import Stop

if TYPE_CHECKING:
    from taskyard.prove.report.model import Report

_INTERRUPTED = 130
_SEEDS = 1_000_000


def prove(
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, max=1440, help="About how long.")] = 5.0,
    data_dir: Annotated[
        str | None,
        typer.Option(
            "--data-dir",
            help="On whose disk: that of the data folder if not given. What is there is not touched.",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", help="The folder for the report, ./taskyard-report-… if not given.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Repeats the draws of an earlier proof; 0: new ones.")] = 0,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Tries on this disk what Taskyard promises: a simulation, kill -9 under load, and whether a sync is one.

    Exit code 0: all held; 1: not; 2: it could not be tried.
    """
    from taskyard.cli.prove_view import watching
    from taskyard.prove.proof import Unable, workplace
    from taskyard.prove.proof import prove as put_to_the_proof

    drawn = seed or 1 + time.time_ns() // 1000 % _SEEDS
    disk = _disk(data_dir, config)
    try:
        with _interruptible(), _report_folder(report) as into, workplace(disk, minutes) as folder:
            with watching(drawn, minutes, as_json=as_json) as watch:
                found = put_to_the_proof(folder, drawn, minutes, watch)
            files = _written(found, into)
            if not found.holds:
                files.append(_evidence(folder, into))
    except Unable as error:
        raise Stop(str(error), 2) from None
    except OSError as error:
        raise Stop(
            f"{error.filename or 'the disk'}: {error.strerror}; name another --data-dir or --report", 2
        ) from None
    except KeyboardInterrupt:
        raise Stop("interrupted: all that was started has ended, and nothing is left of it", _INTERRUPTED) from None
    _tell(found, files, as_json=as_json)
    if not found.holds:
        raise typer.Exit(1)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Whatever asks this to end is a Ctrl-C, so that it ends its processes."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = {one: signal.signal(one, interrupt) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)


def _disk(data_dir: str | None, config: str | None) -> Path:
    """The folder whose disk is meant. Raises Stop."""
    if data_dir is not None:
        return Path(data_dir)
    from taskyard.settings import SettingsError, load

    try:
        return load({"config": config}, os.environ).data_path
    except SettingsError as error:
        raise Stop(str(error), 2) from None


@contextmanager
def _report_folder(given: Path | None) -> Iterator[Path]:
    """The folder for the report, made when missing, before anything is tried; not kept when it stays empty.

    Raises Stop.
    """
    name = time.strftime("taskyard-report-%Y%m%dT%H%M%SZ", time.gmtime())
    folder = (given or Path(name)).expanduser().absolute()
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise Stop(f"{folder} cannot be written to by this user: name another --report", 2)
    except OSError as error:
        raise Stop(f"{folder} cannot be made: {error.strerror}; name another --report", 2) from None
    try:
        yield folder
    finally:
        if is_new:
            with suppress(OSError):
                folder.rmdir()


def _written(found: "Report", into: Path) -> list[Path]:
    """Write the report; the files. Raises OSError."""
    from taskyard.prove.report.page import page
    from taskyard.prove.report.text import text

    files = [into / "report.txt", into / "report.html"]
    for file, content in zip(files, (text(found), page(found)), strict=True):
        file.write_text(content, encoding="utf-8")
    return files


def _evidence(folder: Path, into: Path) -> Path:
    """Keep what a proof that failed has left: logs and database; where. Raises OSError."""
    kept = into / time.strftime("evidence-%Y%m%dT%H%M%SZ", time.gmtime())
    shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("*.sock"))
    return kept


def _tell(found: "Report", files: list[Path], *, as_json: bool) -> None:
    if as_json:
        show.json_line(found.plain() | {"files": [str(file) for file in files]})
        return
    from taskyard.prove.report.text import brief, text

    # A terminal has room for a page; the file has it all.
    for line in (brief if sys.stdout.isatty() else text)(found).splitlines():
        show.line(line)
    show.line("")
    for file in files:
        show.line(file)
