"""API.md §6: callbacks, and verdicts by hand."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from taskyard.settings import Settings
from tests.contract.api.conftest import Crew
from tests.contract.api.yard import PATIENCE_S, Yard, accept, eventually, fresh, refused

ALLOWED = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "PENDING", "PROCESSING")


class Attempt:
    """An accepted attempt of a task, seen from its backend and from its owner."""

    def __init__(self, crew: Crew, user: httpx.Client, **members: Any) -> None:
        self.user = user
        self.id: str = user.post("/api/task", json=crew.submission(**members)).json()["id"]
        sent = crew.backend.task(self.id)
        self.number: int = sent["attempt"]
        self.url: str = sent["callback_url"]
        eventually(lambda: self.shown["status"] == "PROCESSING")

    def say(self, body: Any, method: str = "PUT", **options: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body)
        return httpx.request(method, self.url, content=content, timeout=PATIENCE_S, trust_env=False, **options)

    @property
    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.user.get(f"/api/task/{self.id}").json()
        return shown


@pytest.fixture
def attempt(accepting: Crew, user: httpx.Client) -> Attempt:
    return Attempt(accepting, user)


def test_the_callback_url(attempt: Attempt, yard: Yard) -> None:
    start = f"{yard.url}/api/task/{attempt.id}/callback/1-"
    assert attempt.url.startswith(start)
    proof = attempt.url.removeprefix(start)
    assert len(proof) * 6 >= 128
    assert "?" not in attempt.url


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_completed(attempt: Attempt, method: str) -> None:
    answer = attempt.say({"status": "COMPLETED", "result": {"b": 1.0}, "metadata": {"took": 5}}, method)
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"id", "status", "updatedAt", "message"}
    assert (body["id"], body["status"], body["message"]) == (attempt.id, "COMPLETED", "Task updated")
    shown = attempt.shown
    assert (shown["status"], shown["result"], shown["resultMetadata"]) == ("COMPLETED", {"b": 1.0}, {"took": 5})
    raw = attempt.user.get(f"/api/task/{attempt.id}/result").content
    assert raw == b'{"b": 1.0}'


def test_completed_without_a_result_has_null(attempt: Attempt) -> None:
    attempt.say({"status": "COMPLETED"})
    assert attempt.user.get(f"/api/task/{attempt.id}/result").content == b"null"


def test_failed_is_retried_while_retries_are_left(accepting: Crew, user: httpx.Client) -> None:
    attempt = Attempt(accepting, user, maxRetries=1, retryBackoff={"base": 0, "cap": 0})
    body = {"status": "FAILED", "error": "first", "code": "E", "details": [1]}
    assert attempt.say(body).json()["status"] == "PENDING"
    eventually(lambda: attempt.shown["attempts"] == 2)
    second = eventually(
        lambda: accepting.backend.task(attempt.id)["attempt"] == 2 and accepting.backend.task(attempt.id)
    )
    httpx.put(second["callback_url"], json=body | {"error": "second"}, timeout=PATIENCE_S)
    shown = attempt.shown
    assert (shown["status"], shown["error"], shown["errorCode"], shown["errorDetails"]) == (
        "FAILED",
        "second",
        "E",
        [1],
    )
    assert [entry["error"] for entry in shown["history"]] == ["first", "second"]
    assert shown["failures"] == 2


def test_timeout_ends_the_attempt_as_timeout(accepting: Crew, user: httpx.Client) -> None:
    attempt = Attempt(accepting, user, maxRetries=0)
    assert attempt.say({"status": "TIMEOUT"}).json()["status"] == "TIMEOUT"
    assert attempt.shown["history"][0]["outcome"] == "timeout"


@pytest.mark.parametrize("word", ["CANCELLED", "PENDING"])
def test_handing_back_uses_up_no_attempt(attempt: Attempt, word: str) -> None:
    assert attempt.say({"status": word}).json()["status"] == "PENDING"
    shown = attempt.shown
    assert (shown["failures"], shown["history"][0]["outcome"]) == (0, "declined")


def test_progress(attempt: Attempt) -> None:
    assert attempt.say({"status": "PROCESSING", "progress": 41.7, "message": "half"}).json()["status"] == "PROCESSING"
    shown = eventually(lambda: (s := attempt.shown) and s["progress"] is not None and s)
    assert (shown["progress"], shown["message"], shown["status"]) == (41, "half", "PROCESSING")


@pytest.mark.parametrize(("given", "kept"), [(-5, 0), (250, 100), (1e300, 100)])
def test_progress_is_clamped(attempt: Attempt, given: float, kept: int) -> None:
    attempt.say({"status": "PROCESSING", "progress": given})
    assert eventually(lambda: (s := attempt.shown) and s["progress"] is not None and s)["progress"] == kept


def test_progress_renews_the_heartbeat_timeout(accepting: Crew, user: httpx.Client) -> None:
    attempt = Attempt(accepting, user, heartbeatTimeout=1500, maxRetries=0)
    began = time.monotonic()
    while time.monotonic() - began < 1.8:
        assert attempt.say({"status": "PROCESSING"}).status_code == 200
    assert attempt.shown["status"] == "PROCESSING"
    shown = eventually(lambda: (s := attempt.shown) and s["status"] == "TIMEOUT" and s)
    assert "heartbeatTimeout" in shown["error"]


@pytest.mark.parametrize("word", ["completed", "Completed", "COMPLETED"])
def test_words_in_any_case(attempt: Attempt, word: str) -> None:
    assert attempt.say({"status": word}).json()["status"] == "COMPLETED"


@pytest.mark.parametrize("word", ["SUCCESS", "done", "", "COMPLETED\n", 5, None])
def test_other_words_are_400_naming_those_allowed(attempt: Attempt, word: Any) -> None:
    refused(attempt.say({"status": word}), 400, "status", *ALLOWED)
    refused(attempt.say({}), 400, "status", *ALLOWED)
    assert attempt.shown["status"] == "PROCESSING"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"status":"COMPLETED","result":NaN}', b'{"status":"COMPLETED\xff"}']
)
def test_what_is_not_json_is_400(attempt: Attempt, body: bytes) -> None:
    refused(attempt.say(body), 400)
    assert attempt.shown["status"] == "PROCESSING"


def test_headers_of_known_backends_are_ignored(attempt: Attempt) -> None:
    headers = {
        "Authorization": "Bearer nonsense",
        "X-Server-ID": "another",
        "Content-Type": "text/plain",
    }
    assert attempt.say({"status": "COMPLETED"}, headers=headers).status_code == 200


def test_a_compressed_callback_is_415(attempt: Attempt) -> None:
    refused(attempt.say({"status": "COMPLETED"}, headers={"Content-Encoding": "gzip"}), 415)


@pytest.mark.parametrize("how", ["proof", "attempt", "task", "form"])
def test_a_wrong_proof_is_401(accepting: Crew, user: httpx.Client, attempt: Attempt, how: str) -> None:
    other = Attempt(accepting, user)
    head, _, last = attempt.url.rpartition("/")
    proof = last.partition("-")[2]
    wrong = {
        "proof": f"{head}/1-{'A' if proof[0] != 'A' else 'B'}{proof[1:]}",
        "attempt": f"{head}/2-{proof}",
        "task": attempt.url.replace(attempt.id, other.id),
        "form": f"{head}/{proof}",
    }[how]
    attempt.url = wrong
    refused(attempt.say({"status": "COMPLETED"}), 401, "Unauthorized")
    # An admin's token does not help where a proof is wanted; and no body is read without one.
    headers = {"Authorization": user.headers["authorization"]}
    refused(attempt.say(b"not even JSON", headers=headers), 401)
    assert attempt.shown["status"] == "PROCESSING"


def test_the_same_final_status_again_is_200_and_the_first_result_stays(attempt: Attempt) -> None:
    attempt.say({"status": "COMPLETED", "result": 1})
    again = attempt.say({"status": "COMPLETED", "result": 2})
    assert (again.status_code, again.json()["status"]) == (200, "COMPLETED")
    assert attempt.shown["result"] == 1
    refused(attempt.say({"status": "FAILED"}), 409, "COMPLETED")
    refused(attempt.say({"status": "PROCESSING"}), 409, "COMPLETED")


def test_an_older_attempt_is_409(accepting: Crew, user: httpx.Client) -> None:
    attempt = Attempt(accepting, user, retryBackoff={"base": 0, "cap": 0})
    attempt.say({"status": "FAILED"})
    eventually(lambda: attempt.shown["attempts"] == 2)
    shown = refused(attempt.say({"status": "COMPLETED", "result": "old"}), 409)
    assert shown["status"] in ("PENDING", "PROCESSING")
    assert attempt.shown["result"] is None


def test_a_late_result_of_the_latest_attempt_is_taken(accepting: Crew, user: httpx.Client) -> None:
    attempt = Attempt(accepting, user, timeout=100, retryBackoff={"base": 100_000_000, "cap": 100_000_000})
    for _ in range(20):  # full jitter may make it due at once
        if eventually(lambda: (s := attempt.shown) and s["failures"] and s)["status"] == "PENDING":
            break
    else:
        pytest.fail("it was dispatched again at once")
    assert attempt.say({"status": "COMPLETED", "result": "late"}).json()["status"] == "COMPLETED"
    assert attempt.shown["result"] == "late"


def test_large_metadata_is_dropped_with_a_warning_never_the_result(attempt: Attempt) -> None:
    body = {"status": "COMPLETED", "result": 1, "metadata": {"a": "x" * 17_000}}
    warnings = attempt.say(body).json()["warnings"]
    assert len(warnings) == 1
    assert "metadata" in warnings[0]
    assert (attempt.shown["result"], attempt.shown["resultMetadata"]) == (1, None)


def test_unknown_members_are_named(attempt: Attempt) -> None:
    answer = attempt.say({"status": "COMPLETED", "reslt": 1})
    assert answer.json()["warnings"] == ["unknown member reslt, did you mean result?"]


def test_an_error_of_any_kind_is_kept_as_text(accepting: Crew, user: httpx.Client) -> None:
    for error, kept in (({"a": 1}, '{"a": 1}'), (5, "5"), ("n\0ul", "n\ufffdul"), ("ü" * 5000, "ü" * 2048)):
        attempt = Attempt(accepting, user, maxRetries=0)
        assert attempt.say({"status": "FAILED", "error": error, "code": 404}).status_code == 200
        assert (attempt.shown["error"], attempt.shown["errorCode"]) == (kept, "404")


def test_a_result_up_to_the_limit_is_taken_and_a_larger_one_fails_the_task(
    own_yard: Callable[..., Yard], backend: Any
) -> None:
    yard = own_yard(result_max_bytes=100_000, body_max_bytes=2000)
    server = backend(accept)
    yard.client("admin").post("/api/servers", json={"name": "s", "endpoints": server.endpoints})
    client = yard.client("user")
    urls = {}
    for kind in ("fits", "large"):
        task_id = client.post("/api/task", json={"type": kind, "payload": {}}).json()["id"]
        urls[kind] = task_id, server.task(task_id)["callback_url"]
    shell = len(b'{"status":"COMPLETED","result":""}')
    fits = b'{"status":"COMPLETED","result":"' + b"x" * (100_000 - shell) + b'"}'
    assert httpx.put(urls["fits"][1], content=fits, timeout=PATIENCE_S).status_code == 200
    assert len(client.get(f"/api/task/{urls['fits'][0]}/result").content) == 100_000 - shell + 2
    refused(httpx.put(urls["large"][1], content=fits + b" ", timeout=PATIENCE_S), 413)
    shown = client.get(f"/api/task/{urls['large'][0]}").json()
    assert shown["status"] == "FAILED"
    assert "RESULT_MAX_BYTES" in shown["error"]
    refused(httpx.put(urls["large"][1].replace("1-", "1-A"), content=fits + b" ", timeout=PATIENCE_S), 401)


def test_an_undecided_callback_is_answered_202_after_2_s_and_counts(
    own_yard: Callable[..., Yard], backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard = own_yard(callback_wait=200)
    server = backend(accept)
    yard.client("admin").post("/api/servers", json={"name": "s", "endpoints": server.endpoints})
    client = yard.client("user")
    task_id = client.post("/api/task", json={"type": "t", "payload": {}}).json()["id"]
    url = server.task(task_id)["callback_url"]
    eventually(lambda: client.get(f"/api/task/{task_id}").json()["status"] == "PROCESSING")
    store = yard.running.node._storage.store
    commit = store.commit
    gate = threading.Event()

    def slow(plan: Any) -> Any:
        gate.wait(PATIENCE_S)
        return commit(plan)

    monkeypatch.setattr(store, "commit", slow)
    answer = httpx.put(url, json={"status": "COMPLETED", "result": 9}, timeout=PATIENCE_S)
    assert answer.status_code == 503, "nothing may be promised that is not stored"
    assert answer.headers["Retry-After"] == "1"
    body = len(json.dumps({"status": "COMPLETED", "result": 9}, separators=(",", ":")))
    assert yard.on_loop(lambda: yard.running.node.in_flight) == body, "it waits for its turn in memory"
    gate.set()
    assert eventually(lambda: client.get(f"/api/task/{task_id}").json()["result"] == 9)
    eventually(lambda: yard.on_loop(lambda: yard.running.node.in_flight) == 0)


def test_the_default_time_to_decide_is_2_s() -> None:
    assert Settings().callback_wait == 2000


# --- by token --------------------------------------------------------------------------------------------------------


def test_a_service_speaks_of_the_latest_attempt(yard: Yard, attempt: Attempt) -> None:
    service = yard.client("service", sub=fresh("backend"))
    half = service.put(f"/api/task/{attempt.id}", json={"status": "PROCESSING", "progress": 5})
    assert (half.status_code, half.json()["status"]) == (200, "PROCESSING")
    done = service.put(f"/api/task/{attempt.id}", json={"status": "COMPLETED", "result": "by token"})
    assert done.json()["message"] == "Task updated"
    assert attempt.shown["result"] == "by token"
    refused(service.put(f"/api/task/{attempt.id}", json={"status": "FAILED"}), 409, "COMPLETED")
    refused(service.put("/api/task/task_none", json={"status": "FAILED"}), 404, "not found")


def test_a_service_role_beside_another_is_a_service(yard: Yard, accepting: Crew, user: httpx.Client) -> None:
    attempt = Attempt(accepting, user, retryBackoff={"base": 100_000_000, "cap": 100_000_000})
    both = yard.client("admin", "service")
    # A verdict would be final; a backend's word is retried.
    assert both.put(f"/api/task/{attempt.id}", json={"status": "FAILED"}).json()["status"] == "PENDING"


@pytest.mark.parametrize("word", ["COMPLETED", "FAILED", "TIMEOUT", "CANCELLED"])
@pytest.mark.parametrize("running", [True, False])
def test_a_verdict_by_hand_ends_the_task(
    accepting: Crew, user: httpx.Client, admin: httpx.Client, word: str, running: bool
) -> None:
    if running:
        task_id = Attempt(accepting, user).id
    else:
        task_id = user.post("/api/task", json={"type": "t", "payload": {}, "capabilities": ["nobody"]}).json()["id"]
    body = {"status": word.lower(), "result": [1], "error": "by hand", "code": "H"}
    answer = (user if running else admin).put(f"/api/task/{task_id}", json=body)
    assert answer.json() | {"updatedAt": 0} == {
        "id": task_id,
        "status": word,
        "updatedAt": 0,
        "message": "Task updated",
    } | ({} if word == "COMPLETED" else {"warnings": [f"result is ignored with status {word}"]})
    shown = user.get(f"/api/task/{task_id}").json()
    assert shown["status"] == word
    assert shown["result"] == ([1] if word == "COMPLETED" else None)
    assert (shown["error"], shown["errorCode"]) == ("by hand", "H")
    refused(user.put(f"/api/task/{task_id}", json=body), 409, word)


def test_a_verdict_beats_the_attempts_later_word(attempt: Attempt) -> None:
    attempt.user.put(f"/api/task/{attempt.id}", json={"status": "FAILED"})
    late = refused(attempt.say({"status": "COMPLETED", "result": 1}), 409, "FAILED")
    assert late["status"] == "FAILED"
    assert (attempt.shown["status"], attempt.shown["result"]) == ("FAILED", None)


@pytest.mark.parametrize("word", ["PENDING", "PROCESSING"])
def test_these_are_no_verdicts(attempt: Attempt, word: str) -> None:
    refused(attempt.user.put(f"/api/task/{attempt.id}", json={"status": word}), 403, "COMPLETED", "CANCELLED")


def test_a_callback_before_the_dispatch_answer_is_taken(crew: Callable[..., Crew], user: httpx.Client) -> None:
    codes: list[int] = []

    def calls_back_first(task: dict[str, Any]) -> tuple[int, Any]:
        answer = httpx.put(
            task["callback_url"], json={"status": "COMPLETED", "result": "early"}, trust_env=False, timeout=PATIENCE_S
        )
        codes.append(answer.status_code)
        return accept(task)

    made = crew(calls_back_first)
    shown = user.post("/api/task", json=made.submission(**{"async": False})).json()
    assert (shown["status"], shown["result"]) == ("COMPLETED", "early")
    eventually(lambda: codes == [200])
    assert user.get(f"/api/task/{shown['id']}").json()["status"] == "COMPLETED"
