"""Builds `Settings` from, in rising order of precedence: defaults, a TOML file, the environment, flags.

The only reader of the environment and of the configuration file. The first wrong or unknown value ends it with a
`SettingsError` of one line that names the value's place, what is allowed there and the mend.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from taskyard.settings.fields import ALIASES, PREFIX, Field, fields
from taskyard.settings.model import Settings
from taskyard.settings.parts import RetryBackoff, Source, TypeDefaults

FILE_NAME = "taskyard.toml"
# Read by the command line, not by a node.
_OTHERS = ("TASKYARD_CONFIG", "TASKYARD_URL", "TASKYARD_TOKEN", "TASKYARD_PROFILE")
# Kubernetes puts these into every pod beside a Service named taskyard or taskyard-<something>.
_SERVICE_LINK = re.compile(
    r"TASKYARD_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT = re.compile(r"(tcp|udp|sctp)://")


class SettingsError(Exception):
    """A configuration that no node can start with; the text is one line for the operator."""


def load(flags: Mapping[str, Any], environ: Mapping[str, str], cwd: Path | None = None) -> Settings:
    """The settings from all sources.

    `flags`: by setting name (`data_dir`), None for one not given; `config` is the path of the TOML file.
    `environ`: the environment; an empty variable counts as not set. `cwd`: where relative paths begin.
    Raises SettingsError.
    """
    cwd = cwd or Path.cwd()
    known = fields()
    values: dict[str, Any] = {}
    origins: dict[str, Source] = {}
    from_environment = _environment(environ)
    for name, (variable, raw) in from_environment.items():
        values[name] = _read(known[name], raw, Source("environment", variable))
        origins[name] = Source("environment", variable)
    for name, raw in flags.items():
        if raw is not None and name != "config":
            origins[name] = Source("flag", known[name].flag or name)
            values[name] = _read(known[name], raw, origins[name])

    data_dir = Path(str(values.get("data_dir", Settings().data_dir))).expanduser()
    path = _file(flags.get("config"), environ.get("TASKYARD_CONFIG"), cwd, cwd / data_dir)
    if path is not None:
        for name, (raw, key) in _members(Settings, _toml(path), str(path), "").items():
            source = Source("file", f"{path}:{key}")
            if name == "types":
                values["types"] = _types(raw, str(path))
                origins |= {f"types.{kind}": Source("file", f"{path}:types.{kind}") for kind in values["types"]}
                continue
            value = _read(known[name], raw, source)
            if name not in values:
                values[name], origins[name] = value, source
    settings = Settings(**values, origins=origins)
    _agree(settings)
    return settings


def _environment(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """By setting: the strongest variable that sets it, and its text."""
    found: dict[str, tuple[str, str]] = {}
    taken = set(_OTHERS)
    for field in fields().values():
        taken.update(field.environment)
        for variable in field.environment:
            raw = environ.get(variable, "").strip()
            if raw and not (variable.startswith(PREFIX) and _SERVICE_PORT.match(raw)):
                found[field.name] = (variable, raw)
                break
    for variable in environ:
        if variable.startswith(PREFIX) and variable not in taken and not _is_service_link(variable, environ[variable]):
            raise SettingsError(f"environment {variable} is no setting{_nearest(variable, taken)}")
    return found


def _is_service_link(variable: str, raw: str) -> bool:
    return bool(_SERVICE_LINK.fullmatch(variable) or (variable.endswith("_PORT") and _SERVICE_PORT.match(raw)))


def _file(flag: str | None, variable: str | None, *folders: Path) -> Path | None:
    """The file named by flag or environment, which must exist; else the first `taskyard.toml` that does."""
    named = flag or variable
    if named:
        return folders[0] / Path(named).expanduser()
    return next((folder / FILE_NAME for folder in folders if (folder / FILE_NAME).is_file()), None)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or "not readable"
        raise SettingsError(f"the configuration file {path} cannot be read: {reason}; mend --config or it") from None
    except UnicodeDecodeError:
        raise SettingsError(f"the configuration file {path} is not UTF-8; save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"the configuration file {path} is not TOML: {_one_line(str(error))}") from None


def _members(
    struct: type[msgspec.Struct], table: Mapping[str, Any], path: str, prefix: str
) -> dict[str, tuple[Any, str]]:
    """By member of `struct`: its raw value and full key in the file. Raises SettingsError on an unknown key."""
    names = [name for name in struct.__struct_fields__ if name != "origins"]
    aliases = {alias.lower(): name for name, alias in ALIASES.items()} if struct is Settings else {}
    found = {}
    for key, raw in table.items():
        name = aliases.get(key, key)
        if name not in names:
            raise SettingsError(f"file {path}: {prefix}{_one_line(key)} is no setting{_nearest(key.lower(), names)}")
        found[name] = (raw, prefix + key)
    return found


def _types(raw: object, path: str) -> dict[str, TypeDefaults]:
    found = {}
    for kind, table in _table(raw, path, "types").items():
        key = f"types.{_one_line(kind)}"
        if not 1 <= len(kind) <= 128 or "\0" in kind:
            raise SettingsError(f"file {path}: {key} is not a task type; a type has 1 to 128 characters and no NUL")
        found[kind] = TypeDefaults(**_struct(TypeDefaults, _table(table, path, key), path, key))
    return found


def _struct(struct: type[msgspec.Struct], table: Mapping[str, Any], path: str, key: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, (raw, full) in _members(struct, table, path, f"{key}.").items():
        if name == "retry_backoff":
            parts = _struct(RetryBackoff, _table(raw, path, full), path, full)
            if len(parts) < len(RetryBackoff.__struct_fields__):
                raise SettingsError(
                    f'file {path}: {full} needs both of its members, as in {{base = "1s", cap = "30s"}}'
                )
            if parts["base"] > parts["cap"]:
                raise SettingsError(f"file {path}: {full} has a base above its cap; lower base or raise cap")
            values[name] = RetryBackoff(**parts)
        else:
            values[name] = _read(fields(struct)[name], raw, Source("file", f"{path}:{full}"))
    return values


def _table(raw: object, path: str, key: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise SettingsError(f"file {path}: {key} is not a table; write [{key}] and its members below it")
    return raw


def _read(field: Field, raw: object, source: Source) -> Any:
    try:
        return field.read(raw)
    except ValueError as error:
        written = "" if field.kind in ("secrets", "database") else f": {_one_line(repr(raw))}"
        example = f", e.g. {field.show(field.default)}" if field.show(field.default) else ""
        raise SettingsError(
            f"{field.name} (from {source}){written} {error}; allowed: {field.allowed}{example}"
        ) from None


def _agree(settings: Settings) -> None:
    """What no single value shows. Raises SettingsError."""
    at = settings.sources()
    if settings.database is not None and not settings.secret_key:
        raise SettingsError(
            f"database (from {at['database']}) needs secret_key, which belongs to the database and not to one data "
            "folder; set it and keep it, e.g. TASKYARD_SECRET_KEY=$(openssl rand -hex 32)"
        )
    if settings.retry_base > settings.retry_cap:
        raise SettingsError(
            f"retry_base (from {at['retry_base']}) is above retry_cap (from {at['retry_cap']}); lower the first"
        )
    for name in ("body_max_bytes", "result_max_bytes"):
        if getattr(settings, name) > settings.memory_budget:
            raise SettingsError(
                f"{name} (from {at[name]}) is above memory_budget (from {at['memory_budget']}), "
                "so that no such body could ever come in; raise memory_budget"
            )
    if set(settings.jwt_secret) & set(settings.service_jwt_secret):
        raise SettingsError(
            f"service_jwt_secret (from {at['service_jwt_secret']}) shares a secret with jwt_secret, so that backend "
            "servers could make admin tokens; make another, e.g. openssl rand -hex 32"
        )


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), 1)
    return f", did you mean {near[0]}?" if near else "; docs/configuration.md lists them"


def _one_line(text: str) -> str:
    """At most 80 printable characters of what someone wrote."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= 80 else line[:79] + "…"
