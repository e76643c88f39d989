"""Server-sent events from a node: read line by line, and taken up again where they broke off. Knows no topic."""

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from taskyard.client.errors import ConnectionFailed, Unavailable
from taskyard.client.transport import FIRST_PAUSE, Broken, Transport

# A node says the time on a stream on which nothing happens, every 15 s unless it is set otherwise.
SILENCE: Final = 60_000


class Event(NamedTuple):
    """Something that a node told: its name, and its members with the node's time as `now` (ms)."""

    name: str
    data: dict[str, Any]


def parsed(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """The events of a `text/event-stream`: name, data, and the id that then holds ('' for none yet)."""
    name, data, last = "", list[str](), ""
    for line in lines:
        if not line:
            yield name or "message", "\n".join(data), last
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last = value


def followed(
    transport: Transport, path: str, query: Mapping[str, Any], patience: int, sleep: Callable[[float], None]
) -> Generator[Event, None, None]:
    """The events of a path, for ever; a stream that breaks off is taken up again within `patience` ms of trying.

    Ends with the event `end` where the node will tell nothing more (`ended`). Raises TaskyardError.
    """
    last, away, pause, heard = "", 0.0, FIRST_PAUSE, False
    while True:
        try:
            for name, data, known in parsed(transport.lines(path, query, last, SILENCE)):
                last, away, pause, heard = known or last, 0.0, FIRST_PAUSE, True
                if not data:
                    continue
                event = Event(name, json.loads(data))
                yield event
                if name == "end":
                    if event.data.get("reason") == "ended":
                        return
                    break
        except Unavailable as error:
            failure: Exception = error
            wait = max(pause, error.retry_after or 0)
        except Broken as error:
            failure, wait = ConnectionFailed(transport.url, error.reason), pause
        except ConnectionFailed as error:
            failure, wait = error, pause
        else:
            failure, wait = ConnectionFailed(transport.url, "the stream ended"), pause
        # What has never answered is not waited for, unless it asks for that.
        if away >= patience or not (heard or isinstance(failure, Unavailable)):
            raise failure
        begun = time.monotonic()
        sleep(wait / 1000)
        away += max(wait, (time.monotonic() - begun) * 1000)
        pause *= 2
