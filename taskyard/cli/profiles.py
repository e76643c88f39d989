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
    """Where calls go; `url_from` and `token_from` name what gave each: a flag, a variable, a profile."""

    url: str
    token: str
    url_from: str
    token_from: str


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
    kept = f"profile {name or 'default'} in {path}"
    urls = _ordered(("--url", url), ("TASKYARD_URL", env_url), (kept, kept_url), bool(profile))
    url_from, chosen = urls[0] if urls else ("the default; --url or TASKYARD_URL change it", DEFAULT_URL)
    chosen = chosen.rstrip("/")
    if chosen != (kept_url or DEFAULT_URL).rstrip("/"):
        kept_token = None
    tokens = _ordered(("--token", token), ("TASKYARD_TOKEN", env_token), (kept, kept_token), bool(profile))
    if not tokens:
        raise Stop(MISSING.format(url=chosen, path=path), 2)
    token_from, given = tokens[0]
    return Target(chosen, given, url_from, token_from)


def _ordered(
    flag: tuple[str, str | None], variable: tuple[str, str | None], kept: tuple[str, str | None], profile: bool
) -> list[tuple[str, str]]:
    """What is given, by what gives it, the strongest first. `profile`: one was asked for by a flag."""
    found = (flag, kept, variable) if profile else (flag, variable, kept)
    return [(source, value.strip()) for source, value in found if value and value.strip()]


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
