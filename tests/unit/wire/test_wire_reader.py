"""The reader's rules, against small structs of its own."""

import contextlib
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Raw, UnsetType

from taskyard.wire.base import Body, Query, form, present, word_pattern
from taskyard.wire.reader import Invalid, Reader

Mark = Annotated[str, form("^[a-z]{2}$", "two letters", 2)]


class Inner(Body):
    size: Annotated[int, Meta(ge=1, description="The inner size.")] | None = None


class Thing(Body):
    name: Annotated[str, Meta(min_length=1, max_length=5, description="What it is called.")]
    count_of_it: Annotated[int, Meta(ge=0, le=9, description="How many there are.")] | None = None
    inner: Inner | None = None
    tags: Annotated[list[Annotated[str, Meta(max_length=3)]], Meta(max_length=2)] | None = None
    mark: Annotated[Mark | None, Meta(description="Its mark.")] = None
    marks: Annotated[list[Mark] | None, Meta(description="Its marks.")] = None
    plain: Annotated[str, Meta(pattern="^[0-9]{2}$", description="Two digits.")] | None = None
    body: Raw | UnsetType = UNSET


class Search(Query):
    limit: Annotated[int, Meta(ge=1)] | None = None
    words: list[str] | None = None
    marks: Annotated[list[Mark] | None, Meta(description="Some marks.")] = None
    q: str | None = None


READER = Reader(Thing)
SEARCH = Reader(Search)


def refusal(body: bytes, *, strict: bool = False) -> str:
    with pytest.raises(Invalid) as caught:
        READER.read(body, [], strict=strict)
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "name is missing: What it is called."),
        (b'{"name":null}', "name is missing (null means absent): What it is called."),
        (b'{"name":5}', "name must be a string, not an integer: What it is called."),
        (b'{"name":""}', "name must have at least 1 character"),
        (b'{"name":"abcdef"}', "name must have at most 5 characters"),
        (b'{"name":"a","countOfIt":10}', "countOfIt must be at most 9"),
        (b'{"name":"a","countOfIt":-1}', "countOfIt must be at least 0"),
        (b'{"name":"a","countOfIt":"1"}', "countOfIt must be an integer, not a string: How many there are."),
        (b'{"name":"a","countOfIt":0.5}', "countOfIt must be an integer, not a number: How many there are."),
        (b'{"name":"a","inner":{"size":0}}', "inner.size must be at least 1"),
        (b'{"name":"a","inner":[]}', "inner must be an object, not an array"),
        (b'{"name":"a","tags":["a","b","c"]}', "tags must have at most 2 entries"),
        (b'{"name":"a","tags":["a","bbbb"]}', "tags[1] must have at most 3 characters"),
        (b'{"name":"a","marks":["ab","x"]}', "marks[1] must be two letters"),
        (b'{"name":"a","marks":["ab",7]}', "marks[1] must be a string, not an integer"),
        (b'{"name":"a","mark":"x1"}', "mark must be two letters"),
        (b'{"name":"a","plain":"x"}', "plain has a form that is not allowed: Two digits."),
        (b"{not json", "the body is not valid JSON (byte 1): object keys must be strings"),
        (b"[1]", "the body must be an object, not an array"),
        (b"", "the body is empty, a JSON object is expected"),
        (b" \n", "the body is empty, a JSON object is expected"),
        (b'{"name":', "the body is not valid JSON: it ends too early"),
        (b'{"name":"\xff"}', "the body is not valid UTF-8 (byte 9)"),
        (b'{"x":' + b"[" * 100_000, "the body is nested too deeply"),
    ],
)
def test_a_refusal_names_the_member_and_the_mend(body: bytes, message: str) -> None:
    assert refusal(body) == message


def test_half_a_surrogate_pair_is_refused_in_known_kept_and_unknown_members() -> None:
    for body in (rb'{"name":"\ud800"}', rb'{"name":"a","body":"\udc00"}', rb'{"name":"a","x":"\ud800z"}'):
        assert "surrogate" in refusal(body)


def test_unknown_members_are_left_out_and_named() -> None:
    warnings: list[str] = []
    read = READER.read(b'{"name":"a","nam":1,"inner":{"size":2,"sise":3},"countofit":4}', warnings)
    assert (read.name, read.count_of_it, read.inner and read.inner.size) == ("a", None, 2)
    assert warnings == [
        "unknown member nam, did you mean name?",
        "unknown member inner.sise, did you mean inner.size?",
        "unknown member countofit, did you mean countOfIt?",
    ]


def test_an_unknown_name_in_a_warning_is_cut_short() -> None:
    warnings: list[str] = []
    READER.read(b'{"name":"a","' + b"x" * 5000 + b'":1}', warnings)
    assert len(warnings[0]) < 150


def test_strict_refuses_what_would_be_a_warning() -> None:
    assert "unknown member nam, did you mean name?" in refusal(b'{"name":"a","nam":1}', strict=True)
    assert READER.read(b'{"name":"a"}', [], strict=True).name == "a"


@given(st.integers(0, 9), st.sampled_from(["{}", "{}.0", "{}e0", "{}.00E+0", "{}.0e0"]))
def test_a_whole_number_is_an_integer_however_it_is_written(number: int, form: str) -> None:
    body = f'{{"name":"a","countOfIt":{form.format(number)},"inner":{{"size":{form.format(number + 1)}}}}}'
    read = READER.read(body.encode(), [], strict=True)
    assert read.count_of_it == number
    assert type(read.count_of_it) is int
    assert read.inner is not None
    assert read.inner.size == number + 1


def test_kept_members_keep_their_bytes_also_beside_unknown_ones() -> None:
    kept = rb'{"b" : 1.0,"a":[ 1e2 ,"\u00e9"], "b":2}'
    for rest in (b"", b',"unknown":1', b',"countOfIt":1.0'):
        assert bytes(READER.read(b'{"name":"a","body":' + kept + rest + b"}", []).body) == kept  # type: ignore[arg-type]


def test_present_tells_null_from_a_value() -> None:
    assert present(UNSET) is None
    assert present(Raw(b"null")) is None
    assert present(Raw(b"0")) == b"0"


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for text in (body, b'{"name":"a","body":' + body + b"}"):
        with contextlib.suppress(Invalid):
            assert isinstance(READER.read(text, []), Thing)


def test_queries_are_read_by_the_same_rules() -> None:
    warnings: list[str] = []
    read = SEARCH.query({"limit": "5.0", "words": "a, b,c", "q": "null", "limt": "3"}, warnings)
    assert (read.limit, read.words, read.q) == (5, ["a", "b", "c"], "null")
    assert warnings == ["unknown parameter limt, did you mean limit?"]
    for text in ("x", "0", "1.5", "", "٣", "1_0", " 1", "1" * 30):
        with pytest.raises(Invalid, match="limit"):
            SEARCH.query({"limit": text}, [])
    with pytest.raises(Invalid, match="limt"):
        SEARCH.query({"limt": "3"}, [], strict=True)
    with pytest.raises(Invalid, match=r"^marks must be two letters$"):
        SEARCH.query({"marks": "ab,c"}, [])


def test_a_last_line_end_does_not_slip_through_a_pattern() -> None:
    from taskyard.wire.servers import Registration

    reader = Reader(Registration)
    with pytest.raises(Invalid, match="id"):
        reader.read(b'{"name":"a","endpoints":{"predict":"http://a/","health":"http://a/"},"id":"x\\n"}', [])


class Word(Body):
    word: Annotated[str, Meta(pattern=word_pattern("DONE", "GONE"))]


@pytest.mark.parametrize(
    ("word", "good"), [("DONE", True), ("gone", True), ("dOnE", True), ("done\\n", False), ("do", False)]
)
def test_words_match_whatever_their_case(word: str, good: bool) -> None:
    reader = Reader(Word)
    if good:
        assert reader.read(f'{{"word":"{word}"}}'.encode(), []).word == word
    else:
        with pytest.raises(Invalid):
            reader.read(f'{{"word":"{word}"}}'.encode(), [])


@pytest.mark.parametrize(
    ("body", "repeated"),
    [
        (b'{"name":"a","name":"b"}', "name"),
        (b'{ "name" : "a" ,\n "countOfIt": 1, "countOfIt": 1.0 }', "countOfIt"),
        (b'{"name":"a","inner":{"size":1,"size":2}}', "inner.size"),
        (b'{"name":"a","n\\u0061me":"b"}', "name"),
    ],
)
def test_a_member_may_come_once_only_in_strict_mode(body: bytes, repeated: str) -> None:
    READER.read(body, [])
    with pytest.raises(Invalid, match=rf"^{repeated}: a member may come once only \(.*strict"):
        READER.read(body, [], strict=True)


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"a","body":{"x":1,"x":2}}',  # what is kept as it is is not ours to judge
        b'{"name":"a", "body": [1, {"name":1}], "inner": {"size": 1}}',
        b'{"name":"\\u0061", "body": ' + b"[" * 400 + b"]" * 400 + b', "countOfIt": 2.0}',
        b'{"name":"a", "body": ' + b"9" * 5000 + b"}",
    ],
)
def test_strict_mode_takes_what_comes_once(body: bytes) -> None:
    assert READER.read(body, [], strict=True).name == "a"
