"""A move that is killed (SIGKILL) before any line that changes one of the two yards: it goes on, or is given up."""

import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

import pytest

import taskyard.store.move.move
from taskyard.store.port import Unusable
from tests.store.moving import Place, asked_file, asked_server

# Where a move changes something beside its batches, each of which is one transaction.
FILES = {str(path) for path in Path(taskyard.store.move.move.__file__).parent.glob("*.py")}
CHANGING = {"begin", "_begin", "_keep", "finish", "clear", "release", "_leave"}


def killed_at_a_new_line(call, known):
    """Call it in a process that is killed before the first line of the above that is not known yet. It is known then.

    The function it was killed in; nothing when it came to its end.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:

        def at_line(frame, event, argument):
            line = f"{frame.f_code.co_name} {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
            if event == "line" and line not in known:
                os.write(write, line.encode())
                os.kill(os.getpid(), signal.SIGKILL)
            return at_line

        def at_call(frame, event, argument):
            changing = frame.f_code.co_filename in FILES and frame.f_code.co_name in CHANGING
            return at_line if changing else None

        try:
            sys.settrace(at_call)
            with suppress(Unusable):  # there is nothing to be done any more
                call()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    os.close(write)
    with open(read) as told:
        line = told.read()
    _, status = os.waitpid(child, 0)
    assert status == (signal.SIGKILL if line else 0), line
    if line:
        known.add(line)
    return line.partition(" ")[0]


@pytest.mark.parametrize("out", [True, False], ids=["out", "back"])
def test_it_may_be_killed_before_any_line_that_changes_something(filled, tmp_path, out):
    before = asked_file(filled.path)
    if not out:
        filled.move()
    place = Place(filled.path if out else tmp_path / "back", filled.url)
    first, second = ("file", "server") if out else ("server", "file")
    known = set()
    stages = [[first]]
    given_up = False
    while killed_in := killed_at_a_new_line(lambda: place.move(out), known):
        if (startable := place.startable()) != stages[-1]:
            stages.append(startable)
        if killed_in == "finish" and not given_up:
            # All is there and nothing was ended: it can be given up, killed before any line of that too.
            given_up = True
            while killed_at_a_new_line(lambda: place.give_up(out), known):
                assert place.startable() in ([first], [])
            assert place.startable() == [first]
            assert (asked_file(place.path) if out else asked_server(place.url)) == before
            stages = [[first]]
    # One of the two or none, and never back.
    assert stages in ([[first], [], [second]], [[first], []])
    assert {line.partition(" ")[0] for line in known} == CHANGING
    assert place.startable() == [second]
    with pytest.raises(Unusable, match="was moved to"):
        place.move(out)
    assert (asked_server(place.url) if out else asked_file(place.path)) == before
