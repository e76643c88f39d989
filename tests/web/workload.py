"""A yard at work, for the tour: a fleet of backend servers that differ, and clients that keep them busy.

The node is real, and so is each call. How long a run takes and whether it fails is drawn with a seed, so that two tours
tell the same story; which task it happens to is not said.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import uvicorn

from tests.contract.api.yard import PATIENCE_S, Yard, eventually, token

# Nothing listens there: a connection is refused at once.
AWAY = "http://127.0.0.1:9"
PROMPTS = (
    "a harbour at dawn, film grain",
    "isometric library, soft light",
    "城市夜景，细雨，霓虹灯",
    "botanical print of a fern",
)
OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.40 GiB (GPU 0; 23.69 GiB total)"


@dataclass(frozen=True)
class Machine:
    """A backend server. `away`: nobody listens; `locked`: it refuses every key; `failing`: 0-1; `rest`: why it is in
    maintenance."""

    id: str
    words: tuple[str, ...]
    slots: int
    weight: int = 5
    groups: tuple[str, ...] = ()
    away: bool = False
    locked: bool = False
    failing: float = 0.0
    rest: str = ""


FLEET = (
    Machine("gpu-1", ("stable-diffusion", "txt2img"), 4, 8, ("eu",)),
    Machine("gpu-2", ("stable-diffusion", "txt2img"), 4, 8, ("eu",)),
    Machine("gpu-3", ("stable-diffusion", "txt2img"), 2, 4, ("us",), failing=0.25),
    Machine("gpu-4", ("stable-diffusion", "txt2img"), 4, 8, ("us",), rest="disk swap"),
    Machine("video-1", ("video",), 2, away=True),
    Machine("video-2", ("video",), 2, locked=True),
    Machine("ocr-1", ("ocr", "paddle-ocr"), 6),
    Machine("ocr-2", ("ocr", "paddle-ocr"), 6, 3),
    Machine("whisper-1", ("whisper", "speech-recognition"), 4),
    Machine("llm-1", ("llm", "chat"), 8, 6),
    Machine("llm-2", ("llm", "chat"), 4, 3),
    Machine("bert-1", ("bert", "text-classification"), 16),
)


@dataclass(frozen=True)
class Kind:
    """A type of task: what it needs, how long it runs (ms, the median), whose it is, and how many come a second; of
    those that run hot (`backlog`) as many as keep so many waiting."""

    name: str
    needs: tuple[str, ...]
    ms: int
    owner: str
    rate: float = 0.0
    backlog: int = 0
    more: dict[str, Any] = field(default_factory=dict)


KINDS = (
    Kind("txt2img", ("stable-diffusion", "txt2img"), 2400, "studio", backlog=34, more={"maxRetries": 1}),
    Kind("ocr", ("ocr", "paddle-ocr"), 320, "archive", rate=7.0),
    Kind("speech-to-text", ("whisper", "speech-recognition"), 5200, "callcentre", rate=0.6),
    Kind("chat-completion", ("llm", "chat"), 900, "support", rate=4.5, more={"timeout": 3000, "maxRetries": 0}),
    Kind("text-classification", ("bert", "text-classification"), 90, "shop", rate=9.0),
)
MS = {kind.name: kind.ms for kind in KINDS}


class Fleet:
    """All machines, in one server with a path for each. `scripts` say how attempts of a task go, where that matters."""

    def __init__(self, port: int = 0) -> None:
        self.scripts: dict[str, deque[str]] = {}
        self._chance = Random(7)
        self._machines = {machine.id: machine for machine in FLEET}
        self._tasks: set[asyncio.Task[None]] = set()
        config = uvicorn.Config(
            self._app, interface="asgi3", lifespan="off", ws="none", log_level="critical", port=port
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="fleet", daemon=True)
        self._thread.start()
        eventually(lambda: self._server.started)
        self._url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def endpoints(self, machine: Machine) -> dict[str, str]:
        """What a machine registers with."""
        at = AWAY if machine.away else self._url
        return {name: f"{at}/{machine.id}/{name}" for name in ("predict", "health")}

    def stop(self) -> None:
        """End them all."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(PATIENCE_S)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        _, machine, what = scope["path"].split("/")
        status, answer = (
            (200, {"status": "healthy"}) if what == "health" else await self._take(machine, json.loads(body))
        )
        content = json.dumps(answer, ensure_ascii=False).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _take(self, name: str, task: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        machine, kind, chance = self._machines[name], task["request"]["type"], self._chance
        if machine.locked:
            return 401, {"error": "invalid API key"}
        seconds = MS.get(kind, 300) / 1000 * chance.lognormvariate(0, 0.35)
        dice = chance.random()
        script = self.scripts.get(task["task_id"])
        step = script.popleft() if script else ""
        seconds = MS[kind] / 1000 if step else seconds
        if step == "hang":
            await asyncio.sleep(PATIENCE_S)
        if step == "fail" or (not step and dice < machine.failing):
            await asyncio.sleep(seconds / 3)
            return 503, {"error": OUT_OF_MEMORY, "errorCode": "CUDA_OOM"}
        if kind == "ocr" and dice < 0.012:
            width = chance.choice((1001, 1333, 2047))
            return 422, {"error": f"width must be a multiple of 8, not {width}", "errorDetails": {"width": width}}
        if kind == "speech-to-text":
            # Its callback tells how it went: the server is free to do other things meanwhile.
            calling = asyncio.get_running_loop().create_task(self._call_back(task["callback_url"], seconds, script))
            self._tasks.add(calling)
            calling.add_done_callback(self._tasks.discard)
            return 202, {"status": "accepted"}
        await asyncio.sleep(seconds if step or dice < 0.985 or kind != "chat-completion" else 3.4)
        result = {"model": task["request"]["payload"].get("model", kind), "seconds": round(seconds, 2)}
        return 200, {"status": "success", "result": result}

    async def _call_back(self, url: str, seconds: float, script: deque[str] | None) -> None:
        # At the end the node goes first.
        with suppress(httpx.HTTPError):
            await self._tell(url, seconds, script)

    async def _tell(self, url: str, seconds: float, script: deque[str] | None) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
            for percent in (35, 62):
                await asyncio.sleep(seconds / 3)
                said = {"status": "PROCESSING", "progress": percent, "message": "transcribing"}
                await client.put(url, json=said)
            await asyncio.sleep(PATIENCE_S if script is not None else seconds / 3)
            await client.post(url, json={"status": "COMPLETED", "result": {"text": "…", "language": "zh"}})


def registration(machine: Machine, fleet: Fleet) -> dict[str, Any]:
    """What a machine is registered with."""
    return {
        "id": machine.id,
        "name": machine.id,
        "endpoints": fleet.endpoints(machine),
        "capabilities": list(machine.words),
        "groups": list(machine.groups),
        "maxConcurrent": machine.slots,
        "priority": machine.weight,
        "apiKey": "a-key",
    }


class Work:
    """The clients of one node: `ids` are tasks that the tour shows, by what they show."""

    def __init__(self, yard: Yard, fleet: Fleet) -> None:
        self.yard = yard
        self.fleet = fleet
        self.ids: dict[str, str] = {}
        self._chance = Random(11)
        self._clients = {kind.owner: yard.client("user", sub=kind.owner) for kind in KINDS}
        self._admin = yard.client("admin", sub="ops")
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="work", daemon=True)

    def begin(self) -> None:
        """Register the fleet, submit what the tour shows, and go on until `stop`."""
        for machine in FLEET:
            self._admin.post("/api/servers", json=registration(machine, self.fleet)).raise_for_status()
            if machine.rest:
                reason = {"maintenance": True, "reason": machine.rest}
                self._admin.post(f"/api/servers/{machine.id}/maintenance", json=reason).raise_for_status()
        video = {"type": "video", "payload": {"frames": 240, "fps": 24}, "capabilities": ["video"]}
        self._admin.post("/api/tasks", json={"tasks": [{**video, "capabilities": ["video", "8k"]}] * 27})
        self._admin.post("/api/tasks", json={"tasks": [video] * 3})
        report = {"type": "report", "payload": {"month": "2026-11"}, "capabilities": ["bert"], "delay": 3_600_000}
        self._admin.post("/api/tasks", json={"tasks": [report] * 2})
        self._thread.start()

    def show(self, timeout: int = 9000) -> None:
        """Have the tasks that the tour shows: one that was tried three times (`timeout` ms at first), one that runs."""
        payload = {
            "prompt": "a lighthouse in fog, 35mm",
            "width": 768,
            "height": 512,
            "steps": 28,
            "seed": 9007199254740993,
        }
        image = {"type": "txt2img", "capabilities": list(KINDS[0].needs), "priority": 9, "payload": payload}
        tried = image | {"timeout": timeout, "retryBackoff": {"base": 1500, "cap": 1500}, "tags": ["campaign-7"]}
        self.ids["tried"] = self._scripted("studio", tried, "hang", "fail", "ok")
        speech = {"type": "speech-to-text", "capabilities": list(KINDS[2].needs), "priority": 9}
        speech["payload"] = {"audio_url": "https://example.com/call-4711.wav", "language": "zh", "model": "large-v3"}
        self.ids["runs"] = self._scripted("callcentre", speech, "ok")
        for name, status in (("tried", "COMPLETED"), ("runs", "PROCESSING")):
            eventually(lambda name=name, status=status: self._status(name) == status)  # type: ignore[misc]
        eventually(lambda: (self._task("runs")["progress"] or 0) > 50)

    def waits(self) -> str:
        """A task that waits behind many others, and behind all that come."""
        payload = {"prompt": PROMPTS[2], "width": 768, "height": 512, "steps": 28}
        body = {"type": "txt2img", "capabilities": list(KINDS[0].needs), "payload": payload, "tags": ["campaign-7"]}
        answer = self._clients["studio"].post("/api/task", json=body)
        task_id: str = answer.json()["id"]
        return task_id

    def _scripted(self, owner: str, body: dict[str, Any], *steps: str) -> str:
        answer = self._clients[owner].post("/api/task", json=body | {"delay": 1000})
        task_id: str = answer.json()["id"]
        self.fleet.scripts[task_id] = deque(steps)
        return task_id

    def _task(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._admin.get(f"/api/task/{self.ids[name]}").json()
        return found

    def _status(self, name: str) -> str:
        return str(self._task(name)["status"])

    def stop(self) -> None:
        """No more of it."""
        self._end.set()
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        begun, due = time.monotonic(), dict.fromkeys((kind.name for kind in KINDS), 0.0)
        last = begun
        while not self._end.wait(0.25):
            now = time.monotonic()
            # A wave of some two minutes, so that a chart has something to tell.
            wave = 1 + 0.45 * math.sin((now - begun) / 19)
            lanes = self._admin.get("/api/lanes").json()["lanes"]
            for kind in KINDS:
                if kind.backlog:
                    queued = sum(lane["queued"] for lane in lanes if set(lane["capabilities"]) == set(kind.needs))
                    due[kind.name] = min(8.0, max(0.0, kind.backlog * wave - queued))
                else:
                    due[kind.name] += kind.rate * wave * (now - last)
                count, due[kind.name] = int(due[kind.name]), due[kind.name] % 1
                if count:
                    tasks = [task | kind.more for task in self._some(kind, count)]
                    self._clients[kind.owner].post("/api/tasks", json={"tasks": tasks})
            last = now

    def _some(self, kind: Kind, count: int) -> Iterator[dict[str, Any]]:
        for _ in range(count):
            payload: dict[str, Any] = {"model": kind.name, "seed": self._chance.getrandbits(31)}
            if kind.name == "txt2img":
                payload |= {"prompt": self._chance.choice(PROMPTS), "width": 512, "height": 768, "steps": 20}
            # The task that is shown waiting has a lower one, and is not served while one looks.
            priority = self._chance.choice((2, 2, 2, 3, 5)) if kind.backlog else 0
            yield {"type": kind.name, "payload": payload, "capabilities": list(kind.needs), "priority": priority}


def session(lifetime_ms: int = 12 * 3_600_000) -> str:
    """A token that does not end while one looks."""
    return token("admin", sub="ops", lifetime_ms=lifetime_ms)
