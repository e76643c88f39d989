"""Kept JSON texts: how deep they may be, and when two bodies are the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskyard.wire.texts import DEPTH_MOST, depth, digest, kept, kept_object

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def nested(levels: int, opener: bytes = b"[", closer: bytes = b"]") -> bytes:
    return opener * levels + closer * levels


def test_depth_is_exact_at_the_limit() -> None:
    for opener, closer in ((b"[", b"]"), (b'{"a":', b"}")):
        inner = b"1" if opener != b"[" else b""
        for levels in (DEPTH_MOST, DEPTH_MOST + 1):
            assert depth(opener * levels + inner + closer * levels) == levels


def test_breadth_and_brackets_in_strings_are_no_depth() -> None:
    assert depth(b"[" + b"[]," * 2000 + b"[]]") == 2
    assert depth(b"[" + b'"[[\\"[\\\\",' * 2000 + b"1]") == 1


@given(VALUES)
def test_depth_is_never_too_small(value: object) -> None:
    def levels(part: object) -> int:
        children = part.values() if isinstance(part, dict) else part if isinstance(part, list) else None
        return 0 if children is None else 1 + max(map(levels, children), default=0)

    padded = json.dumps([value] + [[]] * 600).encode()
    assert depth(padded) == max(2, 1 + levels(value))


def test_kept_says_what_is_wrong() -> None:
    assert kept(b'{"a": 1}') == '{"a": 1}'
    assert kept(nested(DEPTH_MOST)) == nested(DEPTH_MOST).decode()
    with pytest.raises(ValueError, match="512"):
        kept(nested(DEPTH_MOST + 1))
    with pytest.raises(ValueError, match="UTF-8"):
        kept(b'"\xff"')
    with pytest.raises(ValueError, match="object"):
        kept_object(b"[]")
    with pytest.raises(ValueError, match="16 KiB"):
        kept_object(b'{"a":"' + b"x" * 16_384 + b'"}', 16_384)


@given(st.dictionaries(st.text(), VALUES))
def test_the_digest_sees_values_not_writing(value: dict[str, object]) -> None:
    written = json.dumps(value).encode()
    turned = json.dumps(dict(reversed(value.items())), ensure_ascii=False, indent=3).encode("utf-8", "surrogatepass")
    try:
        turned.decode()
    except UnicodeDecodeError:
        return
    assert digest(written, "") == digest(turned, "")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1}', b'{"a":1.0}'),
        (b'{"a":10}', b'{"a":1e1}'),
        (b'{"a":{"b":[1.50]}}', b'{"a":{"b":[15e-1]}}'),
        (b'{"a":"\\u00e9"}', '{"a":"é"}'.encode()),
        (b'{"a":1,"key":"x"}', b'{"key":null,"a":1}'),
        (b'{"a":1,"a":2}', b'{"a":2}'),
        (b'{"a":-0.0}', b'{"a":0}'),
    ],
)
def test_the_same_values_have_the_same_digest(one: bytes, other: bytes) -> None:
    assert digest(one, "key") == digest(other, "key")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1}', b'{"a":2}'),
        (b'{"a":1}', b'{"a":"1"}'),
        (b'{"a":1}', b'{"a":true}'),
        (b'{"a":[1,2]}', b'{"a":[2,1]}'),
        (b'{"a":1e400}', b'{"a":1e401}'),
        (b'{"a":1}', b'{"a":1,"b":null}'),
        (b'{"a":{"key":1}}', b'{"a":{"key":2}}'),
        (b'{"a":9007199254740993}', b'{"a":9007199254740992}'),
    ],
)
def test_other_values_have_another_digest(one: bytes, other: bytes) -> None:
    assert digest(one, "key") != digest(other, "key")


def test_a_body_as_deep_as_allowed_has_a_digest() -> None:
    body = b'{"payload":{"a":' + nested(DEPTH_MOST - 1) + b"}}"
    assert len(digest(body, "key")) == 64
