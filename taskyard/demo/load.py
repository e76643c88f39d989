"""The demo's load: the seven shapes mixed, some waited for, with priorities, over some seconds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

from taskyard.client import Client, TaskyardError
from taskyard.demo.shapes import Shape, shapes

_WAITERS = 32


class Load:
    """Submits `count` tasks evenly over `seconds` from a thread of its own; `ids` are those acknowledged so far."""

    def __init__(self, client: Client, count: int, seconds: float) -> None:
        self.count = count
        self.ids: list[str] = []
        self.refused: list[str] = []
        self._client = client
        self._pause = seconds / count
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._submit_all, name="load", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Submit nothing more."""
        self._stop.set()

    @property
    def over(self) -> bool:
        """Whether all has been submitted, and those who waited have their answers."""
        return not self._thread.is_alive()

    def _submit_all(self) -> None:
        kinds = shapes()
        random = Random(7)
        begun = time.monotonic()
        with ThreadPoolExecutor(_WAITERS, thread_name_prefix="waits") as waiting:
            for number in range(self.count):
                if self._stop.wait(max(0.0, begun + number * self._pause - time.monotonic())):
                    return
                shape = kinds[number % len(kinds)]
                # One in eight is urgent.
                priority = random.choice((5, 10)) if random.random() < 0.125 else 0
                if shape.waits:
                    waiting.submit(self._submit, shape, priority)
                else:
                    self._submit(shape, priority)

    def _submit(self, shape: Shape, priority: int) -> None:
        submit = self._client.run if shape.waits else self._client.submit
        try:
            told = submit(shape.type, shape.payload, capabilities=shape.capabilities, priority=priority, tags=["demo"])
        except TaskyardError as error:
            self.refused.append(f"{shape.type}: {error}")
        else:
            self.ids.append(told["id"])
