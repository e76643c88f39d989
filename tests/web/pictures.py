"""The pictures of the pages' documentation, made of a real node at work: `make pictures`."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.contract.api.yard import Backend, Yard, token

FOLDER = Path(__file__).parents[2] / "docs" / "images"
LOAD_S = 45.0
BETWEEN_S = 0.12
AWAY = {"predict": "http://127.0.0.1:9/predict", "health": "http://127.0.0.1:9/health"}
PICTURES = (
    ("overview", "en-GB", "light", 1440, 900),
    ("overview-dark-zh", "zh-CN", "dark", 1440, 900),
    ("overview-phone", "en-GB", "light", 390, 844),
)


def slow(_: object) -> tuple[int, dict[str, object]]:
    """A server that takes its time."""
    time.sleep(0.3)
    return 200, {"status": "success", "result": 1}


def work(yard: Yard, end: threading.Event) -> None:
    """Submit until it is enough, a little more now and then."""
    client, number = yard.client("admin"), 0
    while not end.wait(BETWEEN_S):
        number += 1
        many = 1 + number // 60 % 2
        tasks = [{"type": "txt2img", "payload": {"n": number}, "capabilities": ["stable-diffusion"]}] * many
        tasks += [{"type": "ocr", "payload": {"n": number}, "capabilities": ["ocr"]}] * 3
        if number % 12 == 0:
            tasks.append({"type": "video", "payload": {}, "capabilities": ["video"], "maxRetries": 0})
        client.post("/api/tasks", json={"tasks": tasks})


def main() -> None:
    """Make them all."""
    FOLDER.mkdir(exist_ok=True)
    servers = [Backend(slow), Backend(), Backend(lambda _: (500, {"error": "CUDA out of memory"}))]
    with tempfile.TemporaryDirectory() as folder:
        yard = Yard(Path(folder) / "data")
        client, end = yard.client("admin"), threading.Event()
        for name, endpoints, words, slots in (
            ("gpu-1", servers[0].endpoints, ["stable-diffusion"], 4),
            ("ocr-1", servers[1].endpoints, ["ocr"], 8),
            ("gpu-3", servers[2].endpoints, ["video"], 2),
            ("gpu-4", AWAY, ["video"], 2),
        ):
            body = {"id": name, "name": name, "endpoints": endpoints, "capabilities": words, "maxConcurrent": slots}
            client.post("/api/servers", json=body)
        task = {"type": "video", "payload": {}, "capabilities": ["video", "8k"]}
        client.post("/api/tasks", json={"tasks": [task] * 27})
        worker = threading.Thread(target=work, args=(yard, end))
        worker.start()
        time.sleep(LOAD_S)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for name, locale, scheme, wide, high in PICTURES:
                context = browser.new_context(
                    base_url=yard.url,
                    locale=locale,
                    color_scheme=scheme,  # type: ignore[arg-type]
                    viewport={"width": wide, "height": high},
                )
                headers = {"Content-Type": "application/json", "Origin": yard.url}
                context.request.post("/api/session", data=json.dumps({"token": token("admin")}), headers=headers)
                page = context.new_page()
                page.goto("/")
                page.locator(".uplot canvas").first.wait_for()
                page.locator(".live.is-live").wait_for()
                time.sleep(2)
                page.screenshot(path=FOLDER / f"{name}.png")
                context.close()
            browser.close()
        end.set()
        worker.join()
        yard.stop()
    for server in servers:
        server.stop()


if __name__ == "__main__":
    main()
