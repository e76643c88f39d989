"""`taskyard check`: whether a stopped node's database, or a backup, is sound."""

from pathlib import Path
from typing import Annotated

import typer

from taskyard.cli.command import Json
from taskyard.cli.house import Config, DataDir, about_backup, held, settings_of
from taskyard.cli.stop import Stop


def check(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A backup; without it, the data folder's database.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Checks a stopped node's database or a backup: its structure, and a recount of rows and counters.

    Exit code 0: sound; 1: not; 2: it could not be looked at.
    """
    if file is not None:
        path = file.expanduser().absolute()
        if not path.is_file() or not path.stat().st_size:
            raise Stop(f"{path}: there is no backup in it", 2)
        _check(path, as_json, backup=True)
        return
    settings = settings_of(data_dir, config)
    with held(settings.data_path) as directory:
        if directory is None:
            raise Stop(
                f"a node runs on {settings.data_path}: stop it, or make a backup and check that: "
                "taskyard backup FILE && taskyard check FILE",
                2,
            )
        if not directory.size():
            raise Stop(f"{directory.database}: there is nothing in it yet", 2)
        _check(directory.database, as_json)


def _check(path: Path, as_json: bool, *, backup: bool = False) -> None:
    import sys

    from taskyard.cli import show
    from taskyard.store.check import NOT_LOOKED_AT
    from taskyard.store.check import check as look
    from taskyard.store.port import Unusable

    def told(rule: str) -> None:
        if sys.stderr.isatty():
            show.note(f"… {rule}")

    try:
        report = look(path, told)
    except Unusable as error:
        raise Stop(about_backup(error) if backup else str(error)) from None
    if not as_json:
        show.note(NOT_LOOKED_AT)
    if as_json:
        show.json_line(
            {
                "file": str(path),
                "version": report.version,
                "recounted": report.recounted,
                "waiting": report.waiting,
                "running": report.running,
                "ended": report.ended,
                "rules": report.rules,
                "faults": [{"rule": fault.rule, "places": fault.places} for fault in report.faults],
            }
        )
    for fault in () if as_json else report.faults:
        show.line(f"not so: {fault.rule}")
        for place in fault.places:
            show.line(f"  {place}")
    if report.faults:
        raise Stop(
            f"{path}: {len(report.faults)} of {report.rules} rules do not hold; take a copy before anything else"
        )
    if not as_json:
        if report.recounted:
            counts = f"{report.waiting} tasks wait, {report.running} run, {report.ended} have ended"
            show.line(f"{path}: sound, {report.rules} rules hold; {counts}")
        else:
            show.line(f"{path}: its structure is sound; version {report.version}, to be counted after the upgrade")
