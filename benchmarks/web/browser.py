"""A Chromium that is measured: what it fetches, when a page is there, what its renderers take of a core and of memory.

One browser is there for all. Each `Visit` has a context of its own, so that nothing is cached, and is the only one
while it lasts: the browser's renderers are its.
"""

from __future__ import annotations

import json
import shutil
import time
from types import TracebackType
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, Playwright

from benchmarks.yard import Yard

PATIENCE_MS = 120_000
# When the page has its heading and nothing is being loaded any more, by the page's own clock from its beginning.
READY = """
window.whenReady = new Promise((then, fail) => {
  setTimeout(() => fail(new Error(`not ready: ${document.body.innerText.slice(0, 500)}`)), 120000);
  const look = () => {
    if (!document.getElementById("page-title") || document.querySelector(".loading")) return;
    then(performance.now());
    seen.disconnect();
  };
  const seen = new MutationObserver(look);
  seen.observe(document, { childList: true, subtree: true });
});
"""
# The next picture is drawn, and there is nothing that is being loaded.
DRAWN = """
new Promise((then) => {
  const look = () => (document.querySelector(".loading") ? requestAnimationFrame(look) : setTimeout(then));
  requestAnimationFrame(look);
})
"""


class Chromium:
    """The browser. To be used in a `with`."""

    def __init__(self, playwright: Playwright) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if program is None:
            raise SystemExit("Chromium is missing: apt-get install chromium")
        # Its sandbox needs a user that is not root; what it opens here is ours.
        self._browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"], timeout=PATIENCE_MS
        )
        self.version = self._browser.version

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()

    def visit(self, node: Yard) -> Visit:
        """Somebody who comes for the first time."""
        return Visit(self._browser, node)


class Visit:
    """Somebody at a browser, signed in to a node. To be used in a `with`."""

    def __init__(self, browser: Browser, node: Yard) -> None:
        context = browser.new_context(base_url=node.url, locale="en-GB", viewport={"width": 1440, "height": 900})
        self._context = context
        context.set_default_timeout(PATIENCE_MS)
        headers = {"Content-Type": "application/json", "Origin": node.url}
        answer = context.request.post("/api/session", data=json.dumps({"token": node.token}), headers=headers)
        if not answer.ok:
            raise RuntimeError(answer.text())
        self.page: Page = context.new_page()
        self.page.add_init_script(READY)
        self._said: list[str] = []
        self.page.on("console", lambda message: self._said.append(f"{message.text} ({message.location})"))
        self.page.on("pageerror", lambda error: self._said.append(str(error)))
        self._cdp: CDPSession = context.new_cdp_session(self.page)
        self._whole: CDPSession = browser.new_browser_cdp_session()
        self._cdp.send("Performance.enable", {"timeDomain": "threadTicks"})  # CPU time, not a clock
        self._cdp.send("Network.enable")
        self._urls: dict[str, str] = {}
        self._wire: dict[str, float] = {}
        self._cdp.on("Network.requestWillBeSent", self._asked)
        self._cdp.on("Network.dataReceived", self._received)

    def __enter__(self) -> Visit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, _: TracebackType | None
    ) -> None:
        self._context.close()
        if problem is None and self._said:
            raise RuntimeError(f"the page said: {self._said}")

    def _asked(self, event: dict[str, Any]) -> None:
        self._urls[event["requestId"]] = event["request"]["url"]

    def _received(self, event: dict[str, Any]) -> None:
        url = self._urls.get(event["requestId"], "")
        self._wire[url] = self._wire.get(url, 0) + event.get("encodedDataLength", 0)

    def slow(self, times: float, latency_ms: float) -> None:
        """From now on the CPU is so many times slower, and each answer comes so much later."""
        self._cdp.send("Emulation.setCPUThrottlingRate", {"rate": times})
        self._cdp.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": latency_ms, "downloadThroughput": -1, "uploadThroughput": -1},
        )

    def open(self, path: str) -> float:
        """Go to a page by its address; ms until it is ready."""
        self.page.goto(path)
        return float(self.page.evaluate("window.whenReady"))

    def drawn(self) -> None:
        """Wait for the next picture, and for all that the page has to show."""
        self.page.evaluate(DRAWN)

    def settle(self, ms: float) -> None:
        """Let so much time pass, and take in what the browser tells meanwhile."""
        self.page.wait_for_timeout(ms)

    def fetched(self, wanted: str = "") -> float:
        """kB of bodies as they came over the wire, for addresses with this in them."""
        return sum(size for url, size in self._wire.items() if wanted in url) / 1000

    @property
    def requests(self) -> int:
        """How many things were asked for."""
        return len(self._urls)

    def shell_and_files(self) -> float:
        """kB of the page itself and all that is served for it: what is no call of the API."""
        return self.fetched() - self.fetched("/api/")

    def renderers_s(self) -> float:
        """CPU time of all renderers so far, in s."""
        found = self._whole.send("SystemInfo.getProcessInfo")
        return float(sum(one["cpuTime"] for one in found["processInfo"] if one["type"] == "renderer"))

    def main_thread_s(self) -> float:
        """What the page's tasks took of its main thread so far, in s of CPU."""
        return self._metric("TaskDuration")

    def heap_mb(self) -> float:
        """MB that the page's script holds once what nobody needs is gone."""
        for _ in range(2):  # what the first time finds may have held something until then
            self._cdp.send("HeapProfiler.collectGarbage")
        return self._metric("JSHeapUsedSize") / 1e6

    def _metric(self, name: str) -> float:
        metrics = self._cdp.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == name))


def timed(visit: Visit, seconds: float) -> tuple[float, float, float]:
    """Shares of a core over some seconds: of all renderers, of the page's main thread; and the seconds it took."""
    began, cpu, main = time.perf_counter(), visit.renderers_s(), visit.main_thread_s()
    visit.settle(seconds * 1000)
    took = time.perf_counter() - began
    return (visit.renderers_s() - cpu) / took, (visit.main_thread_s() - main) / took, took
