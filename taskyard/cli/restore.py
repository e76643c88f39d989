"""`taskyard restore`: a backup in the place of what a stopped node keeps."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskyard.cli.command import Json
from taskyard.cli.house import KEY_SUFFIX, Config, DataDir, about_backup, held, key_of, progress, settings_of
from taskyard.cli.stop import Stop

if TYPE_CHECKING:
    from taskyard.store.directory import DataDirectory


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `taskyard backup` made.", show_default=False)],
    data_dir: DataDir = None,
    config: Config = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where there is data: it is moved aside, into a folder in the folder.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Puts a backup into the data folder of a stopped node, with the key beside the backup."""
    from taskyard.store.port import StoreError
    from taskyard.store.restore import check_backup

    settings = settings_of(data_dir, config)
    file = file.expanduser().absolute()
    try:
        check_backup(file)
    except StoreError as error:
        raise Stop(about_backup(error)) from None
    key = key_of(file.with_name(file.name + KEY_SUFFIX))
    with held(settings.data_path, create=True) as directory:
        if directory is None:
            raise Stop(f"a node runs on {settings.data_path}: stop it first", 2)
        _restore(file, key, directory, force=force, keyless=not settings.secret_key, as_json=as_json)


def _restore(
    file: Path, key: str | None, directory: "DataDirectory", *, force: bool, keyless: bool, as_json: bool
) -> None:
    from taskyard.cli import show
    from taskyard.host.keys import KEY_FILE
    from taskyard.settings.secretfile import write_secret
    from taskyard.store.port import StoreError
    from taskyard.store.restore import holds_data, restore

    key_file = directory.path / KEY_FILE
    there = key_of(key_file)
    other_key = key is not None and there not in (None, key)
    if not force and (holds_data(directory) or other_key):
        what = "another secret_key" if other_key and not holds_data(directory) else "data"
        raise Stop(f"{directory.path} holds {what}: give --force to have it moved aside, or another --data-dir", 2)
    aside = directory.path / time.strftime("replaced-%Y%m%dT%H%M%SZ", time.gmtime())
    moved = holds_data(directory) or other_key

    def put_key() -> None:
        if other_key:
            aside.mkdir(mode=0o700, exist_ok=True)
            key_file.replace(aside / KEY_FILE)
        if key is not None and there != key:
            write_secret(key_file, key)

    try:
        size = restore(file, directory, aside, put_key, lambda left, pages: progress("copied", left, pages))
    except StoreError as error:
        raise Stop(str(error)) from None
    if as_json:
        show.json_line({"dataDir": str(directory.path), "bytes": size, "aside": str(aside) if moved else None})
    else:
        show.line(f"{directory.path}: restored, {size / 2**20:.1f} MiB")
        if moved:
            show.line(f"{aside}: what was there before; remove it when you need it no more")
    if keyless and key is None and there is None:
        show.note(
            f"there is no {file.name}{KEY_SUFFIX}: put the node's secret_key into {directory.path}, or its stored "
            "apiKeys are lost and callbacks of running tasks refused"
        )
