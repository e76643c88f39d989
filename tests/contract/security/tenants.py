"""Two kinds of subjects: one with work of every kind on a node, and strangers who try to see or change it.

What a stranger asks is a script: paths, queries, headers and bodies with marks such as `{{failed}}`. The same script is
played twice, by two strangers: with the owner's own ids and words in place of the marks, and with ids and words that
nobody has. Knows the wire alone.
"""

import base64
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.contract.api.yard import Backend, Yard, accept, eventually, fresh, token

API_KEY = f"key-{secrets.token_hex(12)}"
NOWHERE = fresh("nowhere")  # a group that no server is in
TASKS = ("pending", "running", "completed", "failed", "unreached", "cancelled", "keyed", "bulked")
_MARK = re.compile(r"\{\{([a-z]+)\}\}")


def word() -> str:
    """A word that stands nowhere else."""
    return f"w{secrets.token_hex(10)}"


def work(task: dict[str, Any]) -> tuple[int, Any]:
    """What the backend does: accept, fail with every word it can say, or succeed with all it got."""
    payload = task["request"]["payload"]
    if payload.get("do") == "accept":
        return accept(task)
    if payload.get("do") == "fail":
        said = payload["say"]
        return 400, {"error": said, "code": said, "details": {"said": said}, "metadata": {"said": said}}
    return 200, {"status": "success", "result": payload, "metadata": payload}


@dataclass
class Owner:
    """Whose data it is. `marks` are the ids and words by name, `words` all that nobody else may ever see."""

    client: httpx.Client
    sub: str
    marks: dict[str, str] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)

    def dump(self) -> dict[str, Any]:
        """All that the owner can see of its own tasks."""
        listed = self.client.get("/api/tasks", params={"limit": 500}).json()
        ids = [self.marks[name] for name in TASKS]
        return {"list": listed, **{one: self.client.get(f"/api/task/{one}?include=payload").json() for one in ids}}


class Scene:
    """A node, its servers, an owner with work of every kind; `hidden` is what no user may see: where servers are."""

    def __init__(self, yard: Yard, good: Backend, dying: Backend) -> None:
        self.yard = yard
        self.hidden = {API_KEY, *(part for one in (good, dying) for part in _whereabouts(one))}
        self._service = yard.client("service", sub=fresh("service"))
        self._good = self._register(good)
        self._dead = self._register(dying)
        self.owner = self._owner(good, dying)
        self.anonymous = yard.client()

    def _register(self, backend: Backend) -> str:
        body = {
            "name": fresh("server"),
            "endpoints": backend.endpoints | {"cancel": f"{backend.url}/cancel-{word()}"},
            "apiKey": API_KEY,
            "groups": [fresh("group")],
        }
        self.hidden.add(body["endpoints"]["cancel"].rpartition("/")[2])
        answer = self._service.post("/api/servers", json=body)
        assert answer.json()["status"] == "online", answer.text
        return str(answer.json()["serverId"])

    def _owner(self, good: Backend, dying: Backend) -> Owner:
        sub = f"ann-{word()}"
        ann = Owner(self.yard.client("user", sub=sub), sub)
        mark = ann.marks
        mark.update({name: word() for name in ("type", "tag", "word", "key", "capability")})
        mark["owner"] = sub

        def submit(name: str, payload: dict[str, Any], **members: Any) -> str:
            metadata, tag = word(), word()
            body = {"type": mark["type"], "payload": payload | {"word": mark["word"]}, "maxRetries": 0}
            body |= {"tags": [mark["tag"], tag], "metadata": {"is": metadata}, "serverId": self._good} | members
            answer = ann.client.post("/api/task", json={key: value for key, value in body.items() if value is not None})
            assert answer.status_code == 200, answer.text
            mark[name] = answer.json()["id"]
            ann.words |= {metadata, tag}
            return mark[name]

        def becomes(name: str, status: str) -> None:
            eventually(lambda: ann.client.get(f"/api/task/{mark[name]}").json()["status"] == status)

        said, told = word(), word()
        submit("pending", {}, serverId=None, group=NOWHERE, capabilities=[mark["capability"]])
        running = submit("running", {"do": "accept"})
        submit("completed", {})
        submit("failed", {"do": "fail", "say": said}, resubmitOf=mark["completed"])
        becomes("completed", "COMPLETED")
        becomes("failed", "FAILED")
        becomes("running", "PROCESSING")
        path = good.task(running)["callback_url"].partition("/api/")[2]
        ann.words |= {said, told, path.rpartition("/")[2].partition("-")[2]}
        report = {"status": "PROCESSING", "progress": 7, "message": told}
        assert self.yard.client().put(f"/api/{path}", json=report).status_code == 200
        dying.stop()
        submit("unreached", {}, serverId=self._dead)
        unreached = f"/api/task/{mark['unreached']}"
        eventually(lambda: ann.client.get(unreached).json()["history"])
        self._service.post(f"/api/servers/{self._dead}/maintenance", json={"maintenance": True, "reason": "gone"})
        submit("cancelled", {}, serverId=None, group=NOWHERE)
        assert ann.client.post(f"/api/task/{mark['cancelled']}/cancel").status_code == 200
        submit("keyed", {}, serverId=None, group=NOWHERE, idempotencyKey=mark["key"])
        self._bulk(ann)
        mark["cursor"] = ann.client.get("/api/tasks", params={"limit": 2}).json()["nextCursor"]
        # What waiting tasks require is the yard's, as its figures are.
        ann.words |= set(mark.values()) - {mark["capability"]}
        return ann

    def _bulk(self, ann: Owner) -> None:
        """More tasks than one call changes, cancelled by a job."""
        kind = word()
        tasks = [{"type": kind, "payload": {}, "group": NOWHERE}] * 501
        made = ann.client.post("/api/tasks", json={"tasks": tasks}).json()["results"]
        job = ann.client.post("/api/tasks/cancel", json={"filter": {"type": kind}}).json()
        ann.marks |= {"bulk": job["bulkId"], "bulked": made[0]["id"]}
        ann.words |= {kind, *(task["id"] for task in made)}
        eventually(lambda: ann.client.get(f"/api/bulk/{job['bulkId']}").json()["state"] == "done")


def _whereabouts(backend: Backend) -> Iterator[str]:
    yield backend.url.partition("//")[2]
    yield backend.endpoints["predict"].rpartition("/")[2]


def nobodys(marks: dict[str, str]) -> dict[str, str]:
    """Ids and words of the same forms that nobody has; what a task requires is the yard's."""
    made = {name: word() for name in marks} | {"capability": marks["capability"]}
    made |= {name: f"task_{secrets.token_hex(16)}" for name in TASKS}
    made["bulk"] = f"bulk_{secrets.token_hex(16)}"
    cursor = secrets.token_bytes(6) + f"task_{secrets.token_hex(16)}".encode()
    made["cursor"] = base64.urlsafe_b64encode(cursor).decode().rstrip("=")
    return made


@dataclass(frozen=True)
class Ask:
    """One request of a script, with marks."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: Any = None

    def marked(self) -> set[str]:
        """The marks in it."""
        return set(_MARK.findall(json.dumps([self.path, self.query, self.headers, self.body])))


def beginning(answer: httpx.Response) -> str:
    """An answer's text; of a stream without end its first event."""
    if not answer.headers.get("content-type", "").startswith("text/event-stream"):
        return answer.read().decode(answer.encoding or "utf-8", "replace")
    lines: list[str] = []
    for line in answer.iter_lines():
        if not line and any(one.startswith("data:") for one in lines):
            break
        lines.append(line)
    return "\n".join(lines)


@dataclass
class Heard:
    """An answer: all of it as text, and the same without what differs from stranger to stranger."""

    text: str
    plain: str


class Stranger:
    """A user with one task of its own who plays a script; what it sent is in `sent`."""

    def __init__(self, scene: Scene, marks: dict[str, str]) -> None:
        self._client = scene.anonymous
        self._marks = marks
        sub = fresh("stranger")
        self._names = {value: f"<{name}>" for name, value in marks.items()} | {sub: "<me>"}
        self._authorization = f"Bearer {token('user', sub=sub)}"
        self.sent: set[str] = set()
        self.plays(Ask("POST", "/api/task", body={"type": "own", "payload": {}, "group": NOWHERE}))

    def _filled(self, text: str) -> str:
        return _MARK.sub(lambda found: self._marks[found[1]], text)

    def plays(self, ask: Ask) -> Heard:
        """Ask, and hear the answer."""
        self.sent |= {self._marks[name] for name in ask.marked()}
        body = None if ask.body is None else self._filled(json.dumps(ask.body)).encode()
        headers = {name: self._filled(value) for name, value in ask.headers}
        with self._client.stream(
            ask.method,
            self._filled(ask.path),
            params=[(name, self._filled(value)) for name, value in ask.query],
            headers=headers | {"Authorization": self._authorization, "X-Request-ID": "same"},
            content=body,
        ) as answer:
            shown = [f"{name}: {value}" for name, value in sorted(answer.headers.items()) if name != "date"]
            text = "\n".join([str(answer.status_code), *shown, beginning(answer)])
        # What the whole yard does goes on while two ask: of that stream only the watched tasks can be compared.
        goes_on = ask.path == "/api/events" and "tasks" not in dict(ask.query)
        return Heard(text, self._plain(ask.path, str(answer.status_code) if goes_on else text))

    def _plain(self, path: str, text: str) -> str:
        for value, name in self._names.items():
            text = text.replace(value, name)
        text = re.sub(r"(task|bulk)_[0-9a-f]{32}", r"\1", text)
        # Figures of the whole yard go on; elsewhere it is the times that differ.
        figures = re.match(r"/api/(stats|loadbalancer|servers|lanes)", path)
        text = re.sub(r"\b\d+(\.\d+)?\b" if figures else r"\b\d{13}\b", "0", text)
        return re.sub(r"content-length: \d+", "content-length", text)


def findings(scene: Scene, script: Iterable[Ask]) -> list[str]:
    """What a script shows of the owner's, or by whether there is such a thing at all; [] when nothing."""
    owner = scene.owner
    asker, control = Stranger(scene, owner.marks), Stranger(scene, nobodys(owner.marks))
    found: list[str] = []
    for ask in script:
        heard, expected = asker.plays(ask), control.plays(ask)
        shown = {one for one in owner.words - asker.sent if one in heard.text}
        if shown:
            found.append(f"{ask} shows {shown}: {heard.text[:2000]}")
        if hidden := {one for one in scene.hidden if one in heard.text}:
            found.append(f"{ask} shows where servers are, or a key: {hidden}")
        if heard.plain != expected.plain:
            found.append(
                f"{ask} tells what exists:\n{heard.plain[:1500]}\nwhere nothing does:\n{expected.plain[:1500]}"
            )
    return found
