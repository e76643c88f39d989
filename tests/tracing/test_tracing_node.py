"""One node that traces, from the client's request to the callback: who is whose parent, and what is never told."""

import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.collector import Collector, collector
from tests.support.nodes import NodeProcess, until
from tests.tracing.backend import SECRET, Backend, backend

_numbers = itertools.count(1)


def trace_id() -> str:
    return f"{0xABC0_0000_0000_0000_0000_0000_0000_0000 + next(_numbers):032x}"


def named(spans: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [span for span in spans if span["name"] == name]


@dataclass
class Yard:
    node: NodeProcess
    client: httpx.Client
    backend: Backend
    collector: Collector

    def submit(self, kind: str, headers: dict[str, str] | None = None, **members: Any) -> str:
        body = {"type": kind, "payload": {"word": SECRET}, "retryBackoff": {"base": 1, "cap": 1}} | members
        answer = self.client.post("/api/task", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with ExitStack() as stack:
        told, served = stack.enter_context(collector()), stack.enter_context(backend())
        # Without a client's word no trace begins: what is traced here was asked for.
        sampler = {"OTEL_TRACES_SAMPLER": "parentbased_always_off", "OTEL_RESOURCE_ATTRIBUTES": "deployment=tests"}
        node = NodeProcess(tmp_path_factory.mktemp("tracing") / "data", settings=told.settings(**sampler))
        stack.callback(node.kill)
        node.start()
        client = stack.enter_context(node.client("admin"))
        served.register(client)
        yield Yard(node, client, served, told)


def test_one_trace_holds_a_task_from_its_submission_to_the_callback(yard: Yard) -> None:
    trace, state = trace_id(), "vendor=a b,other@one=1"
    task = yard.submit("twice", {"traceparent": f"00-{trace}-{'1' * 16}-01", "tracestate": state}, priority=3)
    (first, _), (second, order) = yard.backend.got(task, 2)
    # The backend goes on under its attempt, and calls back under a span of its own.
    theirs = {"traceparent": f"00-{trace}-{'7' * 16}-01"}
    done = httpx.put(order["callback_url"], json={"status": "COMPLETED", "result": SECRET}, headers=theirs)
    assert done.status_code == 200
    spans = yard.collector.trace(
        trace, "submit twice", *["wait twice"] * 2, *["attempt twice"] * 2, *["POST"] * 2, "callback twice"
    )
    assert len(spans) == 8
    (submitted,), (called,) = named(spans, "submit twice"), named(spans, "callback twice")
    waits, attempts, posts = (named(spans, name) for name in ("wait twice", "attempt twice", "POST"))
    assert submitted["parent"] == "1" * 16
    assert {span["parent"] for span in (*waits, *attempts)} == {submitted["id"]}
    assert [span["parent"] for span in posts] == [span["id"] for span in attempts]
    assert called["parent"] == "7" * 16
    assert len({span["id"] for span in spans}) == 8
    for head, attempt in zip((first, second), attempts, strict=True):
        assert head["traceparent"] == f"00-{trace}-{attempt['id']}-01"
        assert head["tracestate"] == state
    assert [span["about"]["taskyard.attempt"] for span in attempts] == [1, 2]
    assert [span["about"]["taskyard.outcome"] for span in attempts] == ["failed", "completed"]
    assert [span["status"] for span in attempts] == ["ERROR", "UNSET"]
    assert [span["about"]["http.response.status_code"] for span in posts] == [500, 202]
    assert "retry" in attempts[0]["events"]
    assert attempts[1]["events"]["task ended"] == {"taskyard.task.status": "COMPLETED"}
    assert called["about"]["taskyard.callback.status"] == "COMPLETED"
    for span in spans:
        assert span["about"]["messaging.message.id"] == task
        assert span["from"]["service.name"] == "taskyard"
        assert span["from"]["deployment"] == "tests"
        assert span["state"].replace(" ", "") == state.replace(" ", "")
        assert span["start"] <= span["end"]
    assert submitted["about"]["taskyard.task.priority"] == 3
    assert attempts[0]["about"]["taskyard.server.id"] == "s1"
    for wait, attempt in zip(waits, attempts, strict=True):
        assert wait["end"] == attempt["start"]
    assert submitted["start"] <= waits[0]["start"] <= attempts[0]["end"] <= waits[1]["end"] <= attempts[1]["end"]
    # Nothing of what they carry, nor what opens a door.
    told = json.dumps(spans)
    token, proof = yard.client.headers["authorization"].split()[1], order["callback_url"].rpartition("/")[2]
    for secret in (SECRET, "out of", token, proof, yard.backend.url, yard.node.url):
        assert secret not in told


def test_a_callback_of_another_trace_joins_the_tasks(yard: Yard) -> None:
    trace, other = trace_id(), trace_id()
    task = yard.submit("later", {"traceparent": f"00-{trace}-{'1' * 16}-01"})
    ((head, order),) = yard.backend.got(task)
    theirs = {"traceparent": f"00-{other}-{'7' * 16}-01"}
    assert httpx.put(order["callback_url"], json={"status": "FAILED"}, headers=theirs).status_code == 200
    (called,) = named(yard.collector.trace(trace, "callback later"), "callback later")
    assert called["parent"] == head["traceparent"].split("-")[2]
    assert called["links"] == [other]
    # A word that comes too late is told as that, of a task that memory has let go.
    yard.client.post(f"/api/task/{task}/cancel")
    late = httpx.put(order["callback_url"], json={"status": "COMPLETED"})
    assert late.status_code == 409
    calls = named(yard.collector.trace(trace, *["callback later"] * 2), "callback later")
    assert calls[1]["about"]["error.type"]


def test_cancels_and_time_limits_are_told(yard: Yard) -> None:
    def traced(kind: str, **members: Any) -> tuple[str, str]:
        trace = trace_id()
        return yard.submit(kind, {"traceparent": f"00-{trace}-{'1' * 16}-01"}, maxRetries=0, **members), trace

    waits, of_waiting = traced("x", capabilities=["nobody has it"])
    _, of_limited = traced("x", capabilities=["nobody has it"], queueTimeout=1)
    runs, of_running = traced("slow")
    _, of_late = traced("slow", timeout=200)
    yard.backend.got(runs)
    for task in (waits, runs):
        assert yard.client.post(f"/api/task/{task}/cancel").status_code == 200
    ((wait,), (limited,)) = (
        named(yard.collector.trace(trace, "wait x"), "wait x") for trace in (of_waiting, of_limited)
    )
    assert wait["events"]["task ended"] == {"taskyard.task.status": "CANCELLED"}
    assert wait["status"] == "UNSET"
    assert limited["events"]["task ended"] == {"taskyard.task.status": "TIMEOUT"}
    assert (limited["status"], limited["about"]["error.type"]) == ("ERROR", "timeout")
    for trace, outcome, status, end in (
        (of_running, "cancelled", "UNSET", "CANCELLED"),
        (of_late, "timeout", "ERROR", "TIMEOUT"),
    ):
        spans = yard.collector.trace(trace, "attempt slow", "POST")
        (attempt,), (post,) = named(spans, "attempt slow"), named(spans, "POST")
        assert (attempt["about"]["taskyard.outcome"], attempt["status"]) == (outcome, status)
        assert outcome in attempt["events"]
        assert attempt["events"]["task ended"] == {"taskyard.task.status": end}
        assert "given up" in post["events"]


def test_who_is_not_sampled_is_passed_on_and_not_told(yard: Yard) -> None:
    trace = trace_id()
    not_wanted = yard.submit("x", {"traceparent": f"00-{trace}-{'1' * 16}-00"})
    not_begun = yard.submit("x")
    rubbish = yard.submit("x", {"traceparent": f"00-{trace}-{'0' * 16}-01", "tracestate": "a=1"})
    told = yard.submit("x", {"traceparent": f"00-{trace_id()}-{'1' * 16}-01"})
    heads = {task: yard.backend.got(task)[0][0] for task in (not_wanted, not_begun, rubbish, told)}
    made = {task: head["traceparent"].split("-") for task, head in heads.items()}
    sampled = [int(made[task][3], 16) & 1 for task in (not_wanted, not_begun, rubbish, told)]
    assert sampled == [0, 0, 0, 1]
    assert made[not_wanted][1] == trace
    assert trace not in (made[not_begun][1], made[rubbish][1])
    assert "tracestate" not in heads[rubbish]
    # What came before would be there before.
    yard.collector.trace(made[told][1], "attempt x")
    traces = {span["trace"] for span in yard.collector.spans()}
    assert traces.isdisjoint(made[task][1] for task in (not_wanted, not_begun, rubbish))


def test_the_metrics_are_those_of_the_page(yard: Yard) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    yard.submit("x", **{"async": False})

    def shown() -> dict[str, Any]:
        page = yard.client.get("/metrics").text
        return {family.name: family for family in text_string_to_metric_families(page) if family.samples}

    def total(families: dict[str, Any]) -> dict[str, float]:
        return {sample.labels["status"]: sample.value for sample in families["taskyard_tasks_ended"].samples}

    def exported(name: str) -> list[dict[str, Any]]:
        points: list[dict[str, Any]] = yard.collector.metrics().get(name, {"points": []})["points"]
        return points

    until(
        lambda: (
            {point["labels"]["status"]: point["value"] for point in exported("taskyard_tasks_ended_total")}
            == total(shown())
        ),
        what="the exported metrics are not those of the page",
    )
    families, told = shown(), yard.collector.metrics()
    assert total(families)["COMPLETED"] >= 1
    names = {name + ("_total" if family.type == "counter" else "") for name, family in families.items()}
    assert set(told) == names
    kinds = {"counter": "sum", "gauge": "gauge", "histogram": "histogram"}
    for name, family in families.items():
        metric = told[name + ("_total" if family.type == "counter" else "")]
        assert (metric["kind"], metric["help"], metric["unit"]) == (kinds[family.type], family.documentation, "")
        assert metric["cumulative"]
    online = [(point["labels"], point["value"]) for point in exported("taskyard_server_online")]
    assert online == [(sample.labels, sample.value) for sample in families["taskyard_server_online"].samples]
    (waits,) = exported("taskyard_queue_wait_seconds")
    buckets = {
        sample.labels["le"]: sample.value
        for sample in families["taskyard_queue_wait_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    assert waits["count"] == sum(waits["counts"]) == buckets["+Inf"]
    assert list(itertools.accumulate(waits["counts"])) == list(buckets.values())
    assert waits["bounds"] == [float(bound) for bound in list(buckets)[:-1]]


def test_a_trace_outlives_a_kill_between_submission_and_dispatch(yard: Yard) -> None:
    trace = trace_id()
    given = {"traceparent": f"00-{trace}-{'1' * 16}-01", "tracestate": "vendor=1"}
    task = yard.submit("x", given, capabilities=["after"])
    (submitted,) = yard.collector.trace(trace, "submit x")
    yard.node.kill()
    yard.node.start()
    yard.backend.register(yard.client, "s2", "after")
    ((head, _),) = yard.backend.got(task)
    (attempt,) = named(yard.collector.trace(trace, "wait x", "POST", "attempt x"), "attempt x")
    assert attempt["parent"] == submitted["id"]
    assert (head["traceparent"], head["tracestate"]) == (f"00-{trace}-{attempt['id']}-01", "vendor=1")
