"""Reads a request's JSON by a struct, with the rules that no struct can express, and says in words what is wrong.

- A member that the struct does not know is left out and named in a warning, with the nearest name that it knows; of
  an exact struct it is refused.
- `1.0` is an integer; `null` is absent; of two members with the same name the last one counts, or in strict mode none.
- Every complaint names the member and says what is expected there.

The happy path is one call of a prebuilt decoder; the rules cost only when that call fails.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

T = TypeVar("T", bound=msgspec.Struct)

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]*)`")
_WRONG = re.compile(r"^Expected `(?P<want>[^`]*)`, got `(?P<got>[^`]*)`")
_RANGE = re.compile(r"^Expected `(?P<type>\w+)` (?P<rule>of length )?(?P<sign>[<>]=?) (?P<limit>\S+)")
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]", re.DOTALL
)
_BYTE = re.compile(r" \(byte (?P<byte>[0-9]+)\)$")
_NAMES = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_STRICT = " (the request asked for handling=strict)"
_SIGNS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}


class Invalid(Exception):
    """A body or query that cannot be taken; the text names the member, what is wrong with it, and the mend."""


class _Shape:
    """What a struct's members are: for the slow path and for messages."""

    __slots__ = ("docs", "exact", "forms", "integers", "lists", "names", "structs")

    def __init__(self, model: type[msgspec.Struct]) -> None:
        self.exact: bool = getattr(model, "exact", False)
        self.names: list[str] = []
        self.docs: dict[str, str] = {}
        self.forms: dict[str, str] = {}
        self.structs: dict[str, _Shape] = {}
        self.lists: set[str] = set()
        self.integers: set[str] = set()
        info = inspect.type_info(model)
        assert isinstance(info, inspect.StructType)
        for member in info.fields:
            name = member.encode_name
            self.names.append(name)
            self._note(name, member.type)

    def _note(self, name: str, kind: inspect.Type) -> None:
        if isinstance(kind, inspect.Metadata):
            doc = (kind.extra_json_schema or {}).get("description")
            if doc:
                self.docs.setdefault(name, str(doc))
            if kind.extra and "form" in kind.extra:
                self.forms[name] = str(kind.extra["form"])
            self._note(name, kind.type)
        elif isinstance(kind, inspect.UnionType):
            for part in kind.types:
                self._note(name, part)
        elif isinstance(kind, inspect.IntType):
            self.integers.add(name)
        elif isinstance(kind, inspect.ListType):
            self.lists.add(name)
            entry = kind.item_type
            if isinstance(entry, inspect.Metadata) and entry.extra and "form" in entry.extra:
                self.forms[name] = str(entry.extra["form"])
        elif isinstance(kind, inspect.StructType):
            self.structs[name] = _Shape(kind.cls)

    def of(self, path: list[str]) -> tuple[str, str]:
        """A member by its path: its own description, and what form its text (or each of its texts) must have."""
        shape = self
        for name in path[:-1]:
            if name not in shape.structs:
                return "", ""
            shape = shape.structs[name]
        name = path[-1] if path else ""
        return shape.docs.get(name, ""), shape.forms.get(name, "")

    def mend(self, raw: bytes, path: str, warnings: list[str]) -> bytes:
        """An object without its unknown members, and with whole numbers where integers are expected.

        Raises `Invalid` for an unknown member of a struct that is exact.
        """
        members = _members(raw)
        if members is None:
            return raw
        known: dict[str, msgspec.Raw] = {}
        for name, value in members.items():
            if name not in self.names:
                told = unknown("member", path + name, name, self.names, path)
                if self.exact:
                    raise Invalid(told)
                warnings.append(told)
                continue
            data = bytes(value)
            if name in self.integers:
                data = _whole(data)
            if name in self.structs:
                data = self.structs[name].mend(data, f"{path}{name}.", warnings)
            known[name] = msgspec.Raw(data)
        return msgspec.json.encode(known)

    def repeated(self, raw: bytes, path: str = "") -> list[str]:
        """The members that come more than once, by their paths; what is in members that are no structs is not read."""
        members = _members(raw)
        if members is None:
            return []
        found: list[str] = []
        # Written without spaces and each once, they take just so many bytes: then there is no need to look.
        if 1 + sum(len(name) + 4 + memoryview(value).nbytes for name, value in members.items()) != len(raw):
            names = [name for name, _ in _pairs.decode(raw.decode())]
            found += [path + name for name in members if names.count(name) > 1]
        for name, shape in self.structs.items():
            if name in members:
                found += shape.repeated(bytes(members[name]), f"{path}{name}.")
        return found


_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])
# An object as its pairs; numbers, however long, stay text.
_pairs = json.JSONDecoder(object_pairs_hook=list, parse_int=str, parse_float=str)


def _members(raw: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        return _objects.decode(raw)
    except msgspec.ValidationError:
        return None


def _whole(data: bytes) -> bytes:
    try:
        value = float(data) if data[:1] in b"-0123456789" else None
    except ValueError:
        return data
    return str(int(value)).encode() if value is not None and value.is_integer() and abs(value) < 2**63 else data


def unknown(kind: str, shown: str, name: str, names: list[str], prefix: str = "") -> str:
    """A warning about an unknown name, with the nearest known one."""
    shown = shown if len(shown) <= 100 else shown[:100] + "…"
    lowered = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6) if len(name) <= 100 else []
    text = f"unknown {kind} {shown}"
    return f"{text}, did you mean {prefix}{lowered[near[0]]}?" if near else text


class Reader(Generic[T]):
    """Reads bodies, or query parameters, of one kind. `optional`: nothing is required, so an empty body is `{}`."""

    def __init__(self, model: type[T]) -> None:
        self.model = model
        self.optional = not any(member.required for member in msgspec.structs.fields(model))
        self._decode = msgspec.json.Decoder(model).decode
        self._shape = _Shape(model)

    def read(self, body: bytes, warnings: list[str], *, strict: bool = False) -> T:
        """The body as a struct; what was ignored is added to `warnings`.

        Raises `Invalid`, in strict mode also for what would be a warning.
        """
        try:
            value = self._decode(body)
            if strict:
                self._each_once(body)
            return value
        except msgspec.ValidationError as error:
            first = error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(_broken(body, error)) from None
        found: list[str] = []
        try:
            body.decode()  # the decoder skips what an unknown member holds without a look at its bytes
            mended = self._shape.mend(body, "", found)
            if found and strict:
                raise Invalid("; ".join(found) + _STRICT)
            warnings += found
            value = self._decode(mended)
            if strict:
                self._each_once(body)
            return value
        except msgspec.ValidationError as error:
            first = error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(_broken(body, error)) from None
        raise Invalid(self._words(str(first)))

    def _each_once(self, body: bytes) -> None:
        repeated = self._shape.repeated(body)
        if repeated:
            raise Invalid(f"{', '.join(repeated)}: a member may come once only" + _STRICT)

    def query(self, given: Mapping[str, str], warnings: list[str], *, strict: bool = False) -> T:
        """Query parameters as a struct; lists are separated by commas. Raises `Invalid`."""
        values: dict[str, Any] = {}
        found: list[str] = []
        for name, text in given.items():
            if name not in self._shape.names:
                found.append(unknown("parameter", name, name, self._shape.names))
            elif name in self._shape.lists:
                values[name] = [part.strip() for part in text.split(",")]
            elif name in self._shape.integers:
                values[name] = _integer(name, text)
            else:
                values[name] = text
        if found and strict:
            raise Invalid("; ".join(found) + _STRICT)
        warnings += found
        try:
            return msgspec.convert(values, self.model)
        except msgspec.ValidationError as error:
            # Whoever wrote `status=lost` has written no list.
            raise Invalid(self._words(re.sub(r"\[[0-9]+\]`$", "`", str(error)))) from None

    def _words(self, message: str) -> str:
        at = _AT.match(message)
        assert at is not None
        what, path = at["what"], (at["path"] or "$").removeprefix("$").removeprefix(".")
        names = [re.sub(r"\[.*", "", part) for part in path.split(".")] if path else []
        doc = ""
        missing = _MISSING.match(what)
        wrong = _WRONG.match(what)
        reach = _RANGE.match(what)
        if missing:
            path = f"{path}.{missing['name']}" if path else missing["name"]
            names.append(missing["name"])
        own, form = self._shape.of(names)
        doc = ""
        if missing:
            text, doc = "is missing", own
        elif wrong and wrong["got"] == "null":
            text, doc = "is missing (null means absent)", own
        elif wrong:
            wanted = [word for word in wrong["want"].split(" | ") if word != "null"]
            got = _NAMES.get(wrong["got"], wrong["got"])
            text = f"must be {' or '.join(_NAMES.get(word, word) for word in wanted)}, not {got}"
            doc = "" if path.endswith("]") else own
        elif reach and reach["rule"]:
            text = f"must have {_SIGNS[reach['sign']]} {reach['limit']} {_unit(reach['type'], reach['limit'])}"
            if form and reach["sign"] == ">=" and reach["limit"] != "1":
                text = f"must be {form}"  # too short to be one of its kind: the number would say nothing
        elif reach:
            text = f"must be {_SIGNS[reach['sign']]} {reach['limit']}"
        elif "matching regex" in what:
            text, doc = (f"must be {form}", "") if form else ("has a form that is not allowed", own)
        else:
            text = what[:1].lower() + what[1:]
        return f"{path or 'the body'} {text}" + (f": {doc}" if doc else "")


def _unit(kind: str, limit: str) -> str:
    one, many = ("entry", "entries") if kind == "array" else ("character", "characters")
    return one if limit == "1" else many


def _integer(name: str, text: str) -> int | str:
    if re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII):
        return int(text)
    whole = _whole(text.encode()) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text, re.ASCII) else b""
    return int(whole) if re.fullmatch(rb"-?[0-9]{1,19}", whole) else text


def _broken(body: bytes, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the body is nested too deeply"
    if not body.strip():
        return "the body is empty, a JSON object is expected"
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        return f"the body is not valid UTF-8 (byte {wrong.start})"
    text = str(error).removeprefix("JSON is malformed: ")
    if "surrogate" in text or _LONE_SURROGATE.search(body):
        return "the body is not valid JSON: a string in it has half of a surrogate pair (\\ud800 to \\udfff)"
    if "truncated" in text:
        return "the body is not valid JSON: it ends too early"
    at = _BYTE.search(text)
    if at is not None:
        return f"the body is not valid JSON (byte {at['byte']}): {text[: at.start()]}"
    return f"the body is not valid JSON: {text}"
