"""What people write for an option."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from taskyard.cli.values import _duration, _moment, content, json_object


def test_payload_from_text_file_and_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(b'{"a": 1.0}\n')
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b'{"b":2}')))
    assert json_object('{"c" : 3}', "--payload") == b'{"c" : 3}'
    assert json_object(f"@{file}", "--payload") == b'{"a": 1.0}\n'
    assert json_object("-", "--payload") == b'{"b":2}'


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{a}", "is not JSON"),
        ("", "is not JSON"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[1]", "no object"),
        ("[" * 100_000, "nested too deep"),
        ("\udcff", "UTF-8"),
        ("@/nowhere/at/all", "cannot be read"),
    ],
)
def test_payload_that_is_none(written: str, says: str) -> None:
    with pytest.raises(typer.BadParameter, match=says):
        json_object(written, "--payload")


def test_payload_file_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(typer.BadParameter, match="UTF-8"):
        json_object(f"@{file}", "--payload")
    assert content(f"@{file}", "--api-key") == b'{"a": "\xff"}'


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("1700000000000", 1_700_000_000_000),
        ("2023-11-14", 1_699_920_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000),
        ("2023-11-15T06:13:20+08:00", 1_700_000_000_000),
    ],
)
def test_times(written: str, ms: int) -> None:
    assert _moment(written) == ms


def test_wrong_times_and_durations() -> None:
    with pytest.raises(typer.BadParameter, match="is not a time"):
        _moment("yesterday")
    with pytest.raises(typer.BadParameter, match="is not a duration"):
        _duration("long")
    assert _duration("1h30m") == 5_400_000
