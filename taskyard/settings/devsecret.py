"""The secret that `taskyard serve --dev` makes for itself and keeps in the data folder."""

import os
import secrets
from pathlib import Path

import msgspec

from taskyard.settings.load import SettingsError
from taskyard.settings.model import Settings
from taskyard.settings.parts import Source
from taskyard.settings.secret import Secret
from taskyard.settings.secretfile import write_secret

FILE_NAME = "jwt_secret"


def with_jwt_secret(settings: Settings) -> Settings:
    """`settings` with a JWT secret: its own, else in `dev` mode the kept one (made if there is none yet).

    Raises SettingsError without `dev`, or when the file can be neither read nor written.
    """
    if settings.jwt_secret:
        return settings
    if not settings.dev:
        raise SettingsError(
            "JWT_SECRET is not set, so no token could be verified; set it to at least 32 bytes, "
            "e.g. JWT_SECRET=$(openssl rand -hex 32), or try it out with --dev"
        )
    kept = kept_secret(settings.data_path) or _make(settings.data_path)
    origins = {**settings.origins, "jwt_secret": Source("file", str(settings.data_path / FILE_NAME))}
    return msgspec.structs.replace(settings, jwt_secret=(kept,), origins=origins)


def kept_secret(folder: Path) -> Secret | None:
    """The secret kept in `folder`, None without one. Raises SettingsError when it cannot be trusted or read."""
    path = folder / FILE_NAME
    try:
        with path.open(encoding="ascii") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise SettingsError(f"{path} is open to other users of this machine; mend it with: chmod 600 {path}")
            text = file.read().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a secret"
        raise SettingsError(f"{path} cannot be read: {reason}; mend its owner or remove it") from None
    if len(text) < 32:
        raise SettingsError(f"{path} does not hold a secret of 32 bytes; remove it and a new one is made")
    return Secret(text)


def _make(folder: Path) -> Secret:
    fresh = Secret(secrets.token_hex(32))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(folder / FILE_NAME, fresh.reveal())
    except OSError as error:
        reason = error.strerror or "not writable"
        raise SettingsError(
            f"the data folder {folder} cannot be written: {reason}; mend its owner or --data-dir"
        ) from None
    return fresh
