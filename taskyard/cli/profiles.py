"""Which node to call and with which token: flags, environment, or a profile file. Knows no call."""

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from taskyard.cli.stop import Stop

DEFAULT_URL = "http://127.0.0.1:8787"
MISSING = (
    "there is no token for {url}; make one on the node's machine with `taskyard token --role admin` "
    "(it needs JWT_SECRET, or --data-dir of a node started with --dev), then `export TASKYARD_TOKEN=…`, give --token, "
    "or put it into {path}"
)


class Target(NamedTuple):
    """Where calls go."""

    url: str
    token: str


def profile_file(environ: Mapping[str, str]) -> Path:
    """`~/.config/taskyard/config.toml`, or below `XDG_CONFIG_HOME`."""
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home()) / ".config"
    return Path(base) / "taskyard" / "config.toml"


def target(url: str | None, token: str | None, profile: str | None, environ: Mapping[str, str]) -> Target:
    """The node and token to use, the strongest first: flags, a profile asked for by flag, environment, profile file.

    The profile is the one of `profile` or `TASKYARD_PROFILE`, else `default` if the file has it. A profile's token goes
    to the profile's own URL only. Raises Stop.
    """
    path = profile_file(environ)
    name = profile or environ.get("TASKYARD_PROFILE")
    found = _profile(path, name)
    kept_url, kept_token = found.get("url"), found.get("token")
    env_url, env_token = environ.get("TASKYARD_URL"), environ.get("TASKYARD_TOKEN")
    urls = (url, kept_url, env_url) if profile else (url, env_url, kept_url)
    chosen = next((one for one in urls if one), DEFAULT_URL).rstrip("/")
    if chosen != (kept_url or DEFAULT_URL).rstrip("/"):
        kept_token = None
    tokens = (token, kept_token, env_token) if profile else (token, env_token, kept_token)
    given = next((one.strip() for one in tokens if one and one.strip()), None)
    if given is None:
        raise Stop(MISSING.format(url=chosen, path=path), 2)
    return Target(chosen, given)


def _profile(path: Path, name: str | None) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = tomllib.loads(file.read().decode())
    except FileNotFoundError:
        if name:
            raise Stop(f"there is no profile {name}: {path} does not exist", 2) from None
        return {}
    except OSError as error:
        raise Stop(f"{path} cannot be read: {error.strerror}", 2) from None
    except (ValueError, RecursionError) as error:
        raise Stop(f"{path} is not TOML: {error}", 2) from None
    profiles = content.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(profile, dict) for profile in profiles.values()):
        raise Stop(f"{path}: profiles are tables such as [profiles.default] with url and token", 2)
    if mode & 0o077 and any("token" in profile for profile in profiles.values()):
        raise Stop(f"{path} holds a token and other users can read it; mend it with: chmod 600 {path}", 2)
    if name and name not in profiles:
        known = ", ".join(profiles) or "none"
        raise Stop(f"there is no profile {name} in {path}; there are: {known}", 2)
    return _members(path, name or "default", profiles.get(name or "default", {}))


def _members(path: Path, name: str, profile: dict[str, Any]) -> dict[str, str]:
    for member, value in profile.items():
        if member not in ("url", "token") or not isinstance(value, str):
            raise Stop(f"{path}: profile {name} has {member}; a profile has the texts url and token", 2)
    return profile
