"""W3C trace context: what is one, what is none, and what of it goes on. The rules are those of the specification."""

import pytest

from taskyard.tracing.context import STATE_MOST, context_of, head_lines, received

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


def test_a_context_is_read_and_written() -> None:
    context = context_of(f"{GOOD} vendor=1")
    assert context is not None
    assert (f"{context.trace_id:032x}", f"{context.span_id:016x}", context.sampled) == (TRACE, PARENT, True)
    assert context.text() == f"{GOOD} vendor=1"
    assert context_of(f"00-{TRACE}-{PARENT}-00") == context._replace(flags=0, state="")


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        GOOD.upper(),
        f"ff-{TRACE}-{PARENT}-01",  # a version that there is not
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-01-more",  # version 00 has no more
        f"00-{TRACE}-{PARENT}-01-",
        f"01-{TRACE}-{PARENT}-01x",
        f"00-{TRACE[1:]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-0g",
        f"{GOOD}, {GOOD}",  # it came twice
        f"{GOOD} vendor=1",  # how it is kept, and not how it comes
        f"{GOOD}\n",
    ],
)
def test_rubbish_is_no_context(traceparent: str) -> None:
    assert received(traceparent, "vendor=1") is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert received(f"cc-{TRACE}-{PARENT}-01-what-will-be", None) == GOOD
    assert received(f"cc-{TRACE}-{PARENT}-01", None) == GOOD


@pytest.mark.parametrize(("flags", "kept"), [("00", "00"), ("01", "01"), ("03", "03"), ("ff", "03"), ("fe", "02")])
def test_flags_that_say_nothing_yet_do_not_go_on(flags: str, kept: str) -> None:
    assert received(f"00-{TRACE}-{PARENT}-{flags}", None) == f"00-{TRACE}-{PARENT}-{kept}"


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("a=1", "a=1"),
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ("a=1,\t b=2 , ,c=3,", "a=1,b=2,c=3"),
        ("fw529a3039@dt=FfYd_-;x/y", "fw529a3039@dt=FfYd_-;x/y"),
        ("a= 1", "a= 1"),
        (",".join(f"k{n}=1" for n in range(32)), ",".join(f"k{n}=1" for n in range(32))),
        # None of a list that is none: it cannot be told what it should be.
        ("a", ""),
        ("=1", ""),
        ("a=", ""),
        ("a=1=2", ""),
        ("A=1", ""),
        ("a b=1", ""),
        ("a=1,b", ""),
        ("a=1,a=2", ""),
        ("a=ü", ""),
        ("a=1\r\nX-Evil: 1", ""),
        (f"{'k' * 257}=1", ""),
        (f"a={'v' * 257}", ""),
        (",".join(f"k{n}=1" for n in range(33)), ""),
    ],
)
def test_a_state_goes_on_whole_or_not_at_all(state: str, kept: str) -> None:
    assert received(GOOD, state) == (f"{GOOD} {kept}" if kept else GOOD)


def test_of_a_long_state_the_last_members_are_left_out() -> None:
    long = [f"k{n}={'v' * 100}" for n in range(6)]
    kept = (received(GOOD, ",".join(long)) or "").partition(" ")[2]
    assert kept == ",".join(long[:4])
    assert len(kept) <= STATE_MOST < len(",".join(long[:5]))


def test_what_is_kept_is_sent_as_two_lines() -> None:
    assert head_lines(GOOD) == f"traceparent: {GOOD}\r\n".encode()
    assert head_lines(f"{GOOD} a=1,b= 2") == f"traceparent: {GOOD}\r\ntracestate: a=1,b= 2\r\n".encode()
