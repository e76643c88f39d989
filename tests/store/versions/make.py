"""Writes the dump of a living yard as the present version keeps it: `python -m tests.store.versions.make`.

Each version of the schema has one, made when it was the present one and never again: `test_store_upgrade.py` starts
today's node on it. The yard has tasks in every state, among them live ones: some wait, one runs and is to be called
back. What the test must know of them is in their tags and in the first line.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from taskyard.domain.outcomes import Word
from taskyard.engine.facts import AlgorithmSet, PurgeAsked
from taskyard.settings import Secret
from taskyard.store.queries import load_migrations
from tests.support.backend import answer
from tests.support.house import living

FOLDER = Path(__file__).parent
SECRET_KEY = "the secret key of the yards that are kept as dumps"
LONG_MS = 3_600_000 * 24 * 365 * 9


async def make(folder: Path) -> str:
    """Live a while, and stop; the path of the running task's callback."""
    async with living(folder / "data", 2, secret_key=(Secret(SECRET_KEY),)) as (house, (direct, calling)):
        node = house.node
        direct.script("fails", answer(500, {"error": "no"}))
        calling.script("long", answer(202))
        await house.register(direct, "direct", capabilities=("a",), api_key=node.seal("s3cret"), groups=("east",))
        await house.register(calling, "calling", capabilities=("b",), is_async=True, weight=3)
        await house.ask(AlgorithmSet(name="least-connections", who="root"))
        await house.run("text", '{"n":1}', tags=("completed", "größe"), capabilities=("a",), metadata='{"m":1}')
        await house.run("fails", '{"n":2}', tags=("failed",), capabilities=("a",), max_retries=1)
        purged = await house.submit("text", '{"n":3}', tags=("purged",), capabilities=("a",))
        await house.ended(purged)
        await house.ask(PurgeAsked(task_id=purged, owner="ann", who="ann"))
        cancelled = await house.submit("text", '{"n":4}', tags=("cancelled",), capabilities=("later",))
        await house.cancel(cancelled)
        limits = {"timeout_ms": LONG_MS}
        running = await house.submit("long", '{"n":5}', tags=("running",), capabilities=("b",), **limits)
        await house.accepted(running)
        (request,) = calling.got()
        again = await house.submit("long", '{"n":6}', tags=("beaten",), capabilities=("b",), **limits)
        await house.accepted(again)
        await house.call_back(calling.got()[1].callback_url, Word.PROCESSING, progress=40, message="half")
        for number, priority in ((7, 0), (8, 9), (9, 0)):
            await house.submit(
                "text", f'{{"n":{number}}}', tags=("waiting", f"w{number}"), capabilities=("later",), priority=priority
            )
        far = node.now() + LONG_MS
        await house.submit("text", '{"n":10}', tags=("delayed",), capabilities=("later",), run_at=far)
        return urlsplit(request.callback_url).path


def main() -> None:
    number = load_migrations()[-1].number
    target = FOLDER / f"{number}.sql"
    if target.exists():
        raise SystemExit(f"{target} is there: it is what that version wrote, and stays")
    with tempfile.TemporaryDirectory() as folder:
        path = asyncio.run(make(Path(folder)))
        database = sqlite3.connect(Path(folder, "data", "taskyard.db"))
        (application,) = database.execute("PRAGMA application_id").fetchone()
        lines = [
            f"-- {path}",
            f"PRAGMA application_id = {application};",
            f"PRAGMA user_version = {number};",
            *database.iterdump(),
        ]
        database.close()
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
