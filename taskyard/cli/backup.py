"""`taskyard backup`: one file of all that a node keeps, whether it runs or not."""

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from taskyard.cli.command import Json, Profile, Token, Url
from taskyard.cli.house import KEY_SUFFIX, Config, DataDir, held, key_of, progress, settings_of
from taskyard.cli.stop import Stop

if TYPE_CHECKING:
    from taskyard.client import Client
    from taskyard.settings import Settings

_LOOK_S = 0.2
_TOKEN_MS = 3_600_000
_COPIED_AT_ONCE = 1 << 20  # bytes
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file.", show_default=False)],
    data_dir: DataDir = None,
    config: Config = None,
    force: Annotated[bool, typer.Option("--force", help="In the place of a file that is there.")] = False,
    url: Url = None,
    token: Token = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Backs up a node into FILE, and its secret key beside it. On the node's machine; it may run meanwhile."""
    settings = settings_of(data_dir, config)
    file = file.expanduser().absolute()
    key_file = file.with_name(file.name + KEY_SUFFIX)
    if not file.parent.is_dir():
        raise Stop(f"{file.parent} is no folder", 2)
    for there in (file, key_file):
        if there.exists() and not force:
            raise Stop(f"{there} is there already: take another name, or give --force", 2)
    from taskyard.host.keys import KEY_FILE

    key = None if settings.secret_key else key_of(settings.data_path / KEY_FILE)
    with held(settings.data_path) as directory:
        if directory is not None:
            if url is not None:
                raise Stop(
                    f"no node runs on {settings.data_path}, so {url} would not be asked: leave --url out to back up "
                    "what the stopped one has, or give the --data-dir of the node there",
                    2,
                )
            from taskyard.store.backup import back_up_stopped
            from taskyard.store.port import StoreError

            try:
                size = back_up_stopped(directory, file, lambda left, pages: progress("copied", left, pages))
            except StoreError as error:
                raise Stop(str(error)) from None
    if directory is None:
        size = _of_running(settings, file, url, token, profile)
    if key is not None:
        _keep_key(key_file, key)
    _tell(file, size, key_file if key is not None else None, running=directory is None, as_json=as_json)


def _tell(file: Path, size: int, key_file: Path | None, *, running: bool, as_json: bool) -> None:
    from taskyard.cli import show

    if as_json:
        show.json_line({"file": str(file), "bytes": size, "key": key_file and str(key_file), "running": running})
        return
    show.line(f"{file}: {size / 2**20:.1f} MiB, of a node that {'runs' if running else 'is stopped'}")
    if key_file is not None:
        show.line(f"{key_file}: its key; who has both files can read the stored apiKeys")


def _keep_key(file: Path, key: str) -> None:
    from taskyard.settings.secretfile import write_secret

    try:
        write_secret(file, key)
    except OSError as error:
        raise Stop(f"{file} cannot be written: {error.strerror}") from None


# --- a node that runs ------------------------------------------------------------------------------------------------


def _of_running(settings: "Settings", file: Path, url: str | None, token: str | None, profile: str | None) -> int:
    """Have the node make a backup, and put it where it shall be; its size in bytes. Raises Stop."""
    from taskyard.cli.command import yard_of
    from taskyard.client import Conflict, NotFound

    given = token or _own_token(settings, url, profile)
    with yard_of(url or _own_url(settings, profile), given, profile, False) as yard:
        try:
            made = Path(_made(yard.client, settings.data_path))
        except NotFound:
            raise Stop(f"the node at {yard.client.url} started anew meanwhile: ask again") from None
        except Conflict as error:
            raise Stop(error.details or str(error)) from None
    if not made.is_file():
        raise Stop(
            f"the node at {yard.client.url} made {made} on its own machine, and here is no such file: run this there",
            2,
        )
    try:
        return _move(made, file)
    except OSError as error:
        raise Stop(f"{error.filename or file}: {error.strerror}; the backup is {made}") from None


def _made(client: "Client", data_path: Path) -> str:
    """Ask for a backup and wait for its end; the file on the node's machine. Raises Stop."""
    asked = client.back_up()
    if Path(asked["dataDir"]).resolve() != data_path.resolve():
        client.stop_backup()
        raise Stop(
            f"the node at {client.url} keeps its data in {asked['dataDir']} of its machine, not in {data_path}: "
            "name the right one by --url, or give its --data-dir, on its machine",
            2,
        )
    found: dict[str, Any] = asked
    try:
        while found["state"] == "running":
            progress("copied", max(1, found["size"] - found["copied"]), found["size"])
            time.sleep(_LOOK_S)
            found = client.backup()
    except KeyboardInterrupt:
        client.stop_backup()
        raise Stop("stopped; nothing was kept") from None
    if found["file"] != asked["file"] or found["state"] != "done":
        raise Stop(f"the backup {found['state']}: {found.get('error') or 'another one was asked for'}")
    return str(found["file"])


def _move(made: Path, file: Path) -> int:
    """Move a backup, to another disk if need be; durable, its size in bytes. Raises OSError."""
    from taskyard.store.backup import sync
    from taskyard.store.directory import sync_directory

    try:
        made.replace(file)
    except OSError:
        partial = file.with_name(file.name + ".partial")
        partial.unlink(missing_ok=True)
        # Nobody else may read it, while it grows either.
        private = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with made.open("rb") as whole, open(private, "wb") as copy:
            shutil.copyfileobj(whole, copy, _COPIED_AT_ONCE)
        sync(partial)
        partial.replace(file)
        made.unlink()
    sync_directory(file.parent)
    return file.stat().st_size


def _own_url(settings: "Settings", profile: str | None) -> str | None:
    """The address of this machine's node, where nothing else names one."""
    if profile or os.environ.get("TASKYARD_URL") or os.environ.get("TASKYARD_PROFILE"):
        return None
    return f"http://127.0.0.1:{settings.port}"


def _own_token(settings: "Settings", url: str | None, profile: str | None) -> str | None:
    """An admin's token of this machine's node, where nothing else gives one; never for another machine's."""
    from taskyard.settings import SettingsError, kept_secret
    from taskyard.tokens import sign

    where = url or os.environ.get("TASKYARD_URL") or "http://127.0.0.1"
    named = profile or os.environ.get("TASKYARD_TOKEN") or os.environ.get("TASKYARD_PROFILE")
    if named or urlsplit(where).hostname not in _LOOPBACK:
        return None
    try:
        secret = next(iter(settings.jwt_secret), None) or kept_secret(settings.data_path)
    except SettingsError as error:
        raise Stop(str(error), 2) from None
    if secret is None:
        return None
    return sign(secret.reveal(), "backup", ["admin"], _TOKEN_MS, time.time_ns() // 1_000_000)
