"""A node on PostgreSQL under load, and everything around it dies: nothing acknowledged is lost, nothing ends twice."""

import time
from pathlib import Path

import psycopg

from taskyard.prove.torture.field import Field
from tests.support.nodes import NodeProcess, until
from tests.support.pooler import pooler
from tests.support.postgres import Cluster, cluster, private_folder
from tests.support.seeds import seed_of_this_run
from tests.support.tables import copy

RATE = 300
SETTINGS = {"TASKYARD_SECRET_KEY": "a secret key of the tests that is long enough"}


def node_settings(server: Cluster) -> dict[str, str]:
    return SETTINGS | {"TASKYARD_DATABASE": server.url("yard1")}


def kill_node(field: Field, server: Cluster) -> None:
    field.node.kill()
    field.node.start()


def crash_server(field: Field, server: Cluster) -> None:
    server.crash()
    server.start()


def stop_server(field: Field, server: Cluster) -> None:
    server.stop()
    until(lambda: not field.node.ready(), what="the node does not see that its database is gone")
    server.start()


def cut_connections(field: Field, server: Cluster) -> None:
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'yard%'")


def freeze_server(field: Field, server: Cluster) -> None:
    server.freeze()
    time.sleep(1)  # of the fault, not of the test
    server.thaw()


def hold_the_lock(field: Field, server: Cluster) -> None:
    """What a person at a terminal does to a queue, and the end of that."""
    with psycopg.connect(server.url("yard1")) as connection:
        connection.execute("LOCK TABLE queue")
        time.sleep(0.5)  # of the fault


FAULTS = (kill_node, crash_server, stop_server, cut_connections, freeze_server, hold_the_lock)


def test_nothing_is_lost_whatever_dies(tmp_path: Path) -> None:
    seed = seed_of_this_run()
    print("seed", seed)
    with cluster() as server, pooler(server) as port:
        url = server.url(server.database())
        settings = SETTINGS | {"TASKYARD_DATABASE": url.replace(f":{server.port}/", f":{port}/")}
        heard = 0
        with Field(tmp_path, rate=RATE, seed=seed, settings=settings) as field:
            for fault in field.rng.sample(FAULTS, len(FAULTS)):
                before = field.acknowledged_bytes()
                time.sleep(field.rng.uniform(0.3, 1.5))  # when it strikes
                fault(field, server)
                until(field.node.ready, 60, f"the node does not go on after {fault.__name__}")
                field.check()
                heard += field.acknowledged_bytes() > before
            field.settle()
            field.node.kill()
            evidence = field.evidence()
            copy(url, evidence.database)
    verdict = evidence.judged()
    print(verdict.stdout)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    assert heard == len(FAULTS), "the client must be heard before each of them"


def test_a_node_says_that_its_database_is_away_and_comes_back_by_itself(tmp_path: Path) -> None:
    with cluster() as server:
        server.database()
        node = NodeProcess(tmp_path / "data", settings=node_settings(server))
        try:
            node.start()
            with node.client("user") as client:
                body = {"type": "t", "payload": {}}
                task = client.post("/api/task", json=body).json()["id"]
                server.stop()
                answers = [client.post("/api/task", json=body), client.get(f"/api/task/{task}"), client.get("/ready")]
                assert [answer.status_code for answer in answers] == [503, 503, 503]
                assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers[:2])
                assert not any("127.0.0.1" in answer.text for answer in answers)
                server.start()
                until(node.ready)
                assert client.get(f"/api/task/{task}").json()["status"] == "PENDING"
                assert client.post("/api/task", json=body).status_code == 200
            assert node.stop() == 0
        finally:
            node.kill()


def test_nothing_is_lost_when_a_standby_takes_the_place_of_a_server_that_died(tmp_path: Path) -> None:
    seed = seed_of_this_run()
    print("seed", seed)
    with cluster() as first, private_folder() as folder:
        second = Cluster(folder)
        try:
            second.copy(first)
            second.start_anywhere()
            # What is acknowledged is on both; so the second one can stand in for the first.
            first.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            first.execute("SELECT pg_reload_conf()")
            until(lambda: first.execute("SELECT sync_state FROM pg_stat_replication") == [("sync",)])
            first.database()
            hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
            url = f"postgresql://taskyard@{hosts}/yard1?target_session_attrs=read-write"
            settings = SETTINGS | {"TASKYARD_DATABASE": url}
            with Field(tmp_path, rate=RATE, seed=seed, settings=settings) as field:
                for _ in range(20):
                    before = field.acknowledged_bytes()
                    until(lambda: field.acknowledged_bytes() > before)  # noqa: B023
                first.crash()
                until(lambda: not field.node.ready(), what="the node does not see that its database is gone")
                second.promote()
                until(field.node.ready, 60, "the node does not find the server that took over")
                before = field.acknowledged_bytes()
                until(lambda: field.acknowledged_bytes() > before)
                field.settle()
                field.node.kill()
                evidence = field.evidence()
                copy(second.url("yard1"), evidence.database)
        finally:
            second.remove()
    verdict = evidence.judged()
    print(verdict.stdout)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
