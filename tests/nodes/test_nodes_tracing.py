"""One trace over three nodes: one takes the task, one decides, one sends it; the callback comes to any of them."""

from pathlib import Path

import httpx

from tests.nodes.backend import backend
from tests.nodes.yard import yard
from tests.support.collector import collector
from tests.support.nodes import until
from tests.support.postgres import cluster

TASKS = 9


def test_a_trace_goes_over_the_node_that_takes_the_one_that_decides_and_the_one_that_sends(tmp_path: Path) -> None:
    with (
        collector() as told,
        backend() as served,
        cluster() as server,
        yard(tmp_path, server.url(server.database()), own=[told.settings()] * 3) as nodes,
    ):
        nodes.register(served)
        decider = nodes.decider()
        taker, other = nodes.others()
        # What is held makes each node busy, so that the next task goes to another one.
        tasks = {nodes.submit(taker, "held", **served.only): "" for _ in range(TASKS)}
        until(lambda: len(served.got) == TASKS, what="not all tasks were sent")
        called = nodes.submit(taker, "later", **served.only)
        until(lambda: served.orders(called))
        (order,) = served.orders(called)
        url = order["callback_url"].partition("/api/")[2]
        assert httpx.put(f"{nodes.nodes[other].url}/api/{url}", json={"status": "COMPLETED"}).status_code in (200, 202)
        served.let_go.set()
        for task in tasks:
            nodes.becomes(task, lambda shown: shown["status"] == "COMPLETED")
        # Of each task four, and the callback.
        until(lambda: len(told.spans()) == 4 * (TASKS + 1) + 1, what="spans are missing, or too many")
        senders = set()
        for task in (*tasks, called):
            spans = {span["name"]: span for span in told.spans() if span["about"]["messaging.message.id"] == task}
            kind = "later" if task == called else "held"
            submitted, attempt, post = spans[f"submit {kind}"], spans[f"attempt {kind}"], spans["POST"]
            # Each began a trace, since no client did, and all of it is one.
            assert {span["trace"] for span in spans.values()} == {submitted["trace"]}
            assert submitted["parent"] == ""
            assert spans[f"wait {kind}"]["parent"] == attempt["parent"] == submitted["id"]
            assert post["parent"] == attempt["id"]
            assert submitted["from"]["service.instance.id"] == f"node{taker}"
            assert attempt["from"]["service.instance.id"] == f"node{decider}"
            senders.add(post["from"]["service.instance.id"])
            if task == called:
                assert spans["callback later"]["parent"] == attempt["id"]
                assert spans["callback later"]["from"]["service.instance.id"] == f"node{other}"
        assert f"node{other}" in senders, "no task was taken, decided and sent by three nodes"
