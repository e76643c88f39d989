"""What is measured of a yard that somebody looks at; each measure adds to lines of its own."""

from __future__ import annotations

import time

from benchmarks.events import listeners
from benchmarks.web.browser import Chromium, Visit, timed
from benchmarks.web.budgets import Line
from benchmarks.yard import Yard

# The budgets. They are those of a yard of any size.
FIRST_LOAD_KB, READY_MS, RENDERER, HEAP_MB, STREAM_KB, VIEWERS = 80, 1500, 3, 15, 20, 5
SLOWER, LATENCY_MS = 4, 100
PAGES = ("/", "/tasks", "/servers", "/failures", "/balance", "/stats", "/system")
# Charts and the like come once a page stands.
AFTER_MS = 1500


class Measures:
    """Measures of one yard; `lines` are what came out, in the order in which they are told."""

    def __init__(self, browser: Chromium, node: Yard, seconds: float) -> None:
        self._browser = browser
        self._node = node
        self._seconds = seconds
        self._lines: dict[str, Line] = {}

    @property
    def lines(self) -> list[Line]:
        return list(self._lines.values())

    def _saw(self, what: str, unit: str, value: float, most: float | None = None) -> None:
        self._lines.setdefault(what, Line(what, unit, most)).seen.append(value)

    def _visit(self) -> Visit:
        return self._browser.visit(self._node)

    def first_load(self) -> None:
        """What a browser that was never here fetches for each page."""
        for path in PAGES:
            with self._visit() as visit:
                visit.open(path)
                visit.settle(AFTER_MS)
                self._saw(f"first load of {path}: page and files", "kB", visit.shell_and_files(), FIRST_LOAD_KB)
                self._saw(f"first load of {path}: requests", "", visit.requests)
                calls = visit.fetched("/api/") - visit.fetched("/api/events")
                self._saw(f"first load of {path}: calls", "kB", calls)

    def ready(self) -> None:
        """How soon each page is there, on a slow machine far away."""
        for path in PAGES:
            with self._visit() as visit:
                visit.slow(SLOWER, LATENCY_MS)
                slow = f"ready, {SLOWER}x slower CPU, {LATENCY_MS} ms RTT: {path}"
                self._saw(slow, "ms", visit.open(path), READY_MS)

    def at_rest(self) -> None:
        """What looking costs while all servers change: the renderer, its main thread, the heap, before and after."""
        for path in ("/", "/servers", "/tasks"):
            with self._visit() as visit:
                visit.open(path)
                visit.settle(2 * AFTER_MS)
                before = visit.heap_mb()
                whole, main, took = timed(visit, self._seconds)
                self._saw(f"renderer, {path}", "% of a core", whole * 100, RENDERER)
                self._saw(f"main thread a second of events, {path}", "ms", main * 1000)
                after = visit.heap_mb()
                self._saw(f"heap, {path}", "MB", after, HEAP_MB)
                self._saw(f"heap grown in a minute, {path}", "MB", (after - before) * 60 / took)

    def tour(self) -> None:
        """The heap after all pages were seen again and again, without a new load between them."""
        with self._visit() as visit:
            visit.open("/")
            for _ in range(3):
                for place in PAGES:
                    visit.page.locator(f'nav a[href$="{place}"]').first.click()
                    visit.page.locator("#page-title").wait_for()
                    visit.drawn()
            visit.settle(AFTER_MS)
            self._saw("heap after three tours of all pages", "MB", visit.heap_mb(), HEAP_MB)

    def by_hand(self) -> None:
        """What one does to the list of servers takes of the main thread, the drawing included."""
        with self._visit() as visit:
            visit.open("/servers")
            box = visit.page.get_by_role("searchbox")
            box.wait_for()
            visit.settle(AFTER_MS)
            _, idle, _ = timed(visit, 5)
            for text in ("0777", ""):
                began, main = time.perf_counter(), visit.main_thread_s()
                box.fill(text)
                visit.drawn()
                took = visit.main_thread_s() - main - idle * (time.perf_counter() - began)
                self._saw(f"main thread to {'filter' if text else 'show all of'} the servers", "ms", took * 1000)
            began, main = time.perf_counter(), visit.main_thread_s()
            visit.page.mouse.move(700, 600)
            for _ in range(20):
                visit.page.mouse.wheel(0, 600)
                visit.drawn()
            took = visit.main_thread_s() - main - idle * (time.perf_counter() - began)
            self._saw("main thread to scroll by a screen, servers", "ms", took * 1000 / 20)

    def stream(self, viewers: int) -> None:
        """What a viewer is sent, and what many take of the node."""
        alone = self._node_share()
        with listeners(self._node, viewers) as heard:
            began, before = time.perf_counter(), heard.bytes()
            beside = self._node_share()
            rate = (heard.bytes() - before) / (time.perf_counter() - began) / viewers
        self._saw("stream to a viewer", "kB/s", rate / 1000, STREAM_KB)
        self._saw(f"{viewers} viewers take of the node", "% of a core", (beside - alone) * 100, VIEWERS)

    def _node_share(self) -> float:
        began, cpu = time.perf_counter(), self._node.cpu_seconds()
        time.sleep(self._seconds)
        return (self._node.cpu_seconds() - cpu) / (time.perf_counter() - began)
