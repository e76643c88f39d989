"""The pictures of the tour, of a real node at work: `make pictures`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import structlog
from playwright.sync_api import Browser, expect, sync_playwright

from tests.contract.api.yard import Yard
from tests.web.past import Past
from tests.web.tour import FOLDER, LANGUAGES, STOPS, arrive, fit, photograph
from tests.web.workload import Fleet, Work, session

# The shortest window of the charts, and a little more.
LOAD_S = 320.0
PATIENCE_MS = 120_000
# As in the documentation, so that pictures made at another time show the same.
PORT, FLEET_PORT = 8787, 9000
# A Linux without a desktop has no system's font; with these it looks as on most machines.
FAMILIES = """<match target="pattern"><test name="family"><string>{}</string></test>
<edit name="family" mode="assign" binding="strong">
<string>Liberation Sans</string><string>Noto Sans CJK SC</string></edit></match>"""
FONTS = f"""<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
{"".join(map(FAMILIES.format, ("sans", "sans-serif", "system-ui")))}</fontconfig>"""


def fonts(folder: Path) -> dict[str, str | float | bool]:
    """The environment of a browser with these fonts. Ends the program where there are none."""
    found = subprocess.run(["fc-list", ":lang=zh-cn", "family"], capture_output=True, text=True, check=True).stdout
    if "Noto Sans CJK SC" not in found:
        raise SystemExit("The pictures need fonts: apt-get install fonts-noto-cjk fonts-liberation")
    (folder / "fonts.conf").write_text(FONTS, encoding="utf-8")
    return {**os.environ, "FONTCONFIG_FILE": str(folder / "fonts.conf")}


def take(browser: Browser, work: Work, folder: Path, names: list[str]) -> None:
    """Take the pictures with these names (all: none named)."""
    folder.mkdir(exist_ok=True)
    for language in LANGUAGES:
        for stop in STOPS:
            if names and stop.name not in names:
                continue
            context = browser.new_context(base_url=work.yard.url, **stop.options(language))
            if stop.signed_in:
                headers = {"Content-Type": "application/json", "Origin": work.yard.url}
                context.request.post("/api/session", data=json.dumps({"token": session()}), headers=headers)
            context.set_default_timeout(PATIENCE_MS)
            page = context.new_page()
            arrive(page, stop, work)
            fit(page, stop)
            page.mouse.move(0, 0)
            page.wait_for_timeout(1500)
            photograph(page, folder / f"{stop.name}.{language}.webp")
            context.close()


def main() -> None:
    """Make them all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="of these alone")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--seconds", type=float, default=LOAD_S, help="of load before the first one")
    given = parser.parse_args()
    expect.set_options(timeout=PATIENCE_MS)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        environment = fonts(Path(folder))
        fleet = Fleet(FLEET_PORT)
        Past(Path(folder) / "data", time.time_ns() // 1_000_000)
        yard = Yard(Path(folder) / "data", port=PORT)
        work = Work(yard, fleet)
        work.begin()
        time.sleep(given.seconds)
        work.show()
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"], env=environment
        )
        take(browser, work, given.folder, given.names)
        browser.close()
        work.stop()
        yard.stop()
        fleet.stop()
    kept = sorted(given.folder.glob("*.webp"))
    print(f"{len(kept)} pictures, {sum(path.stat().st_size for path in kept) / 1000:.0f} kB in {given.folder}")


if __name__ == "__main__":
    main()
