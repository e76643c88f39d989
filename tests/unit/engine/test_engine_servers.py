"""What happens to servers: API.md §7, as far as the engine decides."""

from random import Random
from typing import Any

import pytest

from taskyard.domain.outcomes import Effect, Outcome, Status, Word
from taskyard.domain.policies import POLICIES
from taskyard.domain.server import Server
from taskyard.engine.facts import (
    AlgorithmSet,
    Beat,
    CheckAsked,
    Checked,
    Fact,
    MaintenanceSet,
    Registered,
    Unregistered,
)
from taskyard.engine.limits import Limits
from taskyard.engine.plan import AlgorithmDone, Answer, Check, Forget, Refusal, Result, ServerDone
from tests.support.turns import Desk
from tests.unit.engine.conftest import Desks


def done(result: Result) -> ServerDone:
    assert isinstance(result, ServerDone), result
    return result


def code(result: Result) -> str:
    assert isinstance(result, Refusal), result
    return result.code


def known(desk: Desk, server_id: str = "s1") -> Server:
    return desk.engine.memory.fleet.servers[server_id]


def beat(desk: Desk, status: str | None = None, **members: Any) -> Result:
    return desk.ask(Beat(server_id="s1", who="ops", admin=True, status=status, **members))


def maintenance(desk: Desk, on: bool, reason: str | None = None) -> Result:
    return desk.ask(MaintenanceSet(server_id="s1", who="ops", admin=True, on=on, reason=reason))


def remove(desk: Desk, server_id: str = "s1") -> Result:
    return desk.ask(Unregistered(server_id=server_id, who="ops", admin=True))


# --- registration ----------------------------------------------------------------------------------------------------


def test_a_new_server_is_initializing_without_tasks_until_its_first_check(desk: Desk) -> None:
    task = desk.submit()
    answer = done(desk.ask(desk.registered("s1")))
    assert (answer.server_id, answer.status, answer.created) == ("s1", "initializing", True)
    assert desk.of(Check) == [Check("s1")]
    assert desk.status(task) is Status.PENDING
    desk.check("s1", True)
    assert desk.server_status("s1") == "online"
    assert desk.server_of(task) == "s1"


def test_a_first_check_that_fails_is_offline(desk: Desk) -> None:
    task = desk.submit()
    desk.take(desk.registered("s1"))
    desk.check("s1", False)
    assert desk.server_status("s1") == "offline"
    for _ in range(2):
        desk.check("s1", True)
        assert desk.server_status("s1") == "offline"
    desk.check("s1", True)
    assert desk.server_status("s1") == "online"
    assert desk.status(task) is Status.PROCESSING


def test_a_first_check_that_never_ends_is_a_failed_one(desk: Desk) -> None:
    desk.take(desk.registered("s1"))
    desk.advance(10_000)
    assert desk.server_status("s1") == "offline"


def test_without_an_id_one_is_made_or_the_known_predict_url_says_which(desk: Desk) -> None:
    fact = desk.registered("s1")
    fact.server_id = None
    made = done(desk.ask(fact))
    assert (made.server_id, made.created) == ("made-for-s1", True)
    again = desk.registered("s1", made_id="made-2", max_concurrent=3)
    again.server_id = None
    same = done(desk.ask(again))
    assert (same.server_id, same.created) == ("made-for-s1", False)
    assert known(desk, "made-for-s1").max_concurrent == 3


def test_a_known_id_updates_that_server_and_keeps_its_statistics_and_tasks(desk: Desk) -> None:
    desk.server("s1", capabilities=("a",), max_concurrent=2)
    desk.complete(desk.submit())
    running = desk.submit()
    updated = done(desk.ask(desk.registered("s1", predict="http://s1/new", capabilities=("b",), max_concurrent=1)))
    assert not updated.created
    assert desk.server_status("s1") == "online"
    assert desk.server_of(running) == "s1"
    assert desk.store.stats_total("server", "s1").attempts_ok == 1
    assert desk.status(desk.submit(capabilities=("a",))) is Status.PENDING
    waiting = desk.submit(capabilities=("b",))
    assert desk.status(waiting) is Status.PENDING  # maxConcurrent is 1 now
    desk.complete(running)
    assert desk.server_of(waiting) == "s1"


def test_only_who_registered_it_or_an_admin_may_change_it(desk: Desk) -> None:
    mine: dict[str, Any] = {"who": "svc", "admin": False}
    desk.take(desk.registered("s1", **mine))
    desk.check("s1", True)
    task = desk.submit()
    other: dict[str, Any] = {"server_id": "s1", "who": "another", "admin": False}
    strangers: list[Fact] = [
        desk.registered("s1", who="another", admin=False),
        Registered(made_id="m", patch=True, name="n", **other),
        Unregistered(**other),
        Beat(status="unhealthy", **other),
        MaintenanceSet(on=True, **other),
        CheckAsked(**other),
    ]
    for fact in strangers:
        assert code(desk.ask(fact)) == "forbidden"
    by_url = desk.registered("s1", who="another", admin=False)
    by_url.server_id = None
    assert code(desk.ask(by_url)) == "forbidden"
    assert (desk.server_status("s1"), desk.server_of(task)) == ("online", "s1")
    for admin, who in ((False, "svc"), (True, "root")):
        assert done(desk.ask(desk.registered("s1", who=who, admin=admin))).server_id == "s1"
        assert done(desk.ask(Beat(server_id="s1", who=who, admin=admin))).status == "online"
    assert known(desk).owner == "svc"


def test_calls_on_an_unknown_server(desk: Desk) -> None:
    who: dict[str, Any] = {"server_id": "none", "who": "ops", "admin": True}
    for fact in (
        Unregistered(**who),
        Beat(**who),
        MaintenanceSet(on=True, **who),
        CheckAsked(**who),
        Registered(made_id="m", patch=True, name="n", **who),
    ):
        assert code(desk.ask(fact)) == "unknown_server"
    assert code(desk.ask(Checked(server_id="none", passed=True, took_ms=1))) == "unknown_server"


@pytest.mark.parametrize(
    ("change", "dropped"),
    [
        ({"predict": "http://s1/elsewhere"}, False),
        ({"predict": "http://s1:80/predict"}, False),
        ({"predict": "http://s1:8080/predict"}, True),
        ({"predict": "https://s1/predict"}, True),
        ({"health_url": "http://s2/health"}, True),
        ({"cancel_url": "http://s2/cancel"}, True),
        ({"metrics_url": "http://s2/metrics"}, True),
        ({"predict": "http://s2/predict", "api_key": "new"}, False),
        ({"weight": 5}, False),
    ],
)
@pytest.mark.parametrize("patch", [False, True])
def test_a_changed_origin_without_a_new_key_drops_the_old_key(
    desk: Desk, change: dict[str, Any], dropped: bool, patch: bool
) -> None:
    desk.server("s1", api_key="old")
    if patch:
        fact = Registered(server_id="s1", made_id="m", who="ops", admin=True, patch=True, **change)
    else:
        fact = desk.registered("s1", **change)
    assert done(desk.ask(fact)).key_dropped is dropped
    assert known(desk).api_key == (None if dropped else change.get("api_key", "old"))


def test_weight_capacity_and_class_may_change_while_it_serves(desk: Desk) -> None:
    desk.server("s1", max_concurrent=1)
    tasks = [desk.submit() for _ in range(3)]
    patch: dict[str, Any] = {"server_id": "s1", "made_id": "m", "who": "ops", "admin": True, "patch": True}
    desk.take(Registered(max_concurrent=2, **patch))
    assert [desk.status(task) for task in tasks].count(Status.PROCESSING) == 2
    needs = desk.submit(capabilities=("new",), priority=5)
    desk.take(Registered(capabilities=("new",), max_concurrent=3, **patch))
    assert desk.status(needs) is Status.PROCESSING
    desk.restart()
    server = known(desk)
    assert (server.max_concurrent, server.capabilities) == (3, ("new",))


# --- removal ---------------------------------------------------------------------------------------------------------


def test_an_idle_server_is_gone_at_once(desk: Desk) -> None:
    desk.server("s1")
    assert done(remove(desk)).server_id == "s1"
    assert desk.of(Forget) == [Forget("s1")]
    assert desk.engine.memory.fleet.servers == {}
    desk.restart()
    assert desk.engine.memory.fleet.servers == {}


def test_running_tasks_may_end_for_30_s_and_the_rest_are_queued_again(desk: Desk) -> None:
    desk.server("s1", cancel_url="http://s1/cancel")
    ends, stays, accepted = (desk.submit() for _ in range(3))
    desk.end(accepted, Outcome.ACCEPTED, http_status=202)
    assert done(remove(desk)).status == "draining"
    late = desk.submit()
    desk.advance(10_000)
    desk.complete(ends)
    desk.advance(19_999)
    assert (desk.status(ends), desk.status(late)) == (Status.COMPLETED, Status.PENDING)
    assert (desk.status(stays), desk.status(accepted)) == (Status.PROCESSING, Status.PROCESSING)
    assert desk.server_status("s1") == "draining"
    desk.advance(1)
    assert {desk.status(stays), desk.status(accepted)} == {Status.PENDING}
    assert desk.outcomes(stays) == [(1, "lost", 1)]
    assert set(desk.aborted()) == {(stays, 1, "http://s1/cancel"), (accepted, 1, "http://s1/cancel")}
    assert desk.engine.memory.fleet.servers == {}
    desk.server("s2")
    assert [task for task, _, _ in desk.log_of_dispatches()][-3:] == [stays, accepted, late]  # at their places


def test_a_server_whose_last_task_ended_goes_when_its_time_is_over(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    remove(desk)
    desk.complete(task)
    desk.advance(30_000)
    assert desk.engine.memory.fleet.servers == {}


def test_registering_the_id_again_ends_the_drain(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    remove(desk)
    assert not done(desk.ask(desk.registered("s1"))).created
    desk.check("s1", True)
    desk.advance(60_000)
    assert (desk.server_status("s1"), desk.attempt_of(task)) == ("online", 1)
    assert desk.server_of(desk.submit()) == "s1"


def test_a_removal_goes_on_after_a_restart(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    desk.end(task, Outcome.ACCEPTED, http_status=202)
    remove(desk)
    desk.advance(20_000)
    desk.restart()
    assert desk.server_status("s1") == "draining"
    desk.advance(10_000)
    assert desk.engine.memory.fleet.servers == {}
    assert desk.status(task) is Status.PENDING


def test_a_callback_of_a_lost_attempt_of_a_removed_server_is_taken(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    desk.end(task, Outcome.ACCEPTED, http_status=202)
    remove(desk)
    desk.advance(30_000)
    assert desk.status(task) is Status.PENDING
    desk.call_back(task, Word.COMPLETED, 1, result="5")
    assert desk.status(task) is Status.COMPLETED
    assert desk.record(task).task.server_id == "s1"


# --- heartbeats ------------------------------------------------------------------------------------------------------


def test_heartbeats_count_as_checks(desk: Desk) -> None:
    desk.take(desk.registered("s1"))
    assert done(beat(desk, "healthy")).status == "online"
    assert done(beat(desk, "unhealthy")).status == "degraded"
    beat(desk, "unhealthy")
    assert done(beat(desk, "unhealthy")).status == "offline"
    assert [done(beat(desk, "healthy")).status for _ in range(3)] == ["offline", "offline", "online"]


def test_a_heartbeat_without_a_word_moves_only_its_time_and_figures(desk: Desk) -> None:
    desk.server("s1")
    desk.advance(1000)
    assert done(beat(desk, active=7, metrics='{"gpu":0.5}')).status == "online"
    server = known(desk)
    assert (server.last_heartbeat, server.reported_active, server.reported_metrics) == (desk.now, 7, '{"gpu":0.5}')
    assert server.active == 0  # never used for slots
    for _ in range(10):
        assert desk.status(desk.submit()) is Status.PROCESSING


def test_last_heartbeat_moves_only_on_heartbeats_and_outlives_a_restart(desk: Desk) -> None:
    desk.server("s1")
    registered_at = desk.now
    desk.advance(60_000)
    assert known(desk).last_heartbeat == registered_at
    beat(desk)
    at = desk.now
    desk.restart()
    assert known(desk).last_heartbeat == at


def test_draining_takes_nothing_new_until_a_heartbeat_healthy(desk: Desk) -> None:
    desk.server("s1")
    running = desk.submit()
    assert done(beat(desk, "draining")).status == "draining"
    task = desk.submit()
    for _ in range(5):
        desk.check("s1", True)  # the node's own checks do not end it
        beat(desk)
    assert (desk.status(task), desk.server_status("s1")) == (Status.PENDING, "draining")
    desk.restart()
    assert desk.server_status("s1") == "draining"
    desk.check("s1", True)
    assert done(beat(desk, "healthy")).status == "online"
    assert desk.status(task) is Status.PROCESSING
    assert desk.status(running) in (Status.PENDING, Status.PROCESSING)


def test_a_heartbeat_healthy_releases_a_server_that_was_unreached(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    desk.end(task, Outcome.UNREACHED)
    assert desk.status(task) is Status.PENDING
    beat(desk, "healthy")
    assert desk.attempt_of(task) == 2


# --- maintenance -----------------------------------------------------------------------------------------------------


def test_maintenance_takes_nothing_new_and_running_tasks_end(desk: Desk) -> None:
    desk.server("s1")
    running = desk.submit()
    assert done(maintenance(desk, True, "new disk")).status == "maintenance"
    waiting = desk.submit()
    assert (desk.status(waiting), known(desk).maintenance_reason) == (Status.PENDING, "new disk")
    desk.advance(120_000)
    assert desk.status(running) is Status.PROCESSING
    desk.complete(running)
    desk.restart()
    assert (desk.server_status("s1"), known(desk).maintenance_reason) == ("maintenance", "new disk")
    assert done(maintenance(desk, False)).status == "online"
    assert desk.status(waiting) is Status.PROCESSING
    assert known(desk).maintenance_reason is None


def test_leaving_maintenance_restores_what_the_checks_say(desk: Desk) -> None:
    desk.server("s1")
    maintenance(desk, True)
    desk.check("s1", False)
    assert desk.server_status("s1") == "maintenance"
    assert done(maintenance(desk, False)).status == "degraded"
    maintenance(desk, True)
    desk.check("s1", False)
    desk.check("s1", False)
    assert done(maintenance(desk, False)).status == "offline"


# --- health ----------------------------------------------------------------------------------------------------------


def test_degraded_servers_come_only_when_no_online_one_has_a_free_slot(desk: Desk) -> None:
    desk.server("s1", max_concurrent=5)
    desk.server("s2", max_concurrent=2)
    desk.check("s1", False)
    assert [desk.server_of(desk.submit()) for _ in range(4)] == ["s2", "s2", "s1", "s1"]


def test_a_standby_comes_only_when_no_other_has_a_free_slot(desk: Desk) -> None:
    desk.server("s1", weight=0)
    desk.server("s2", max_concurrent=2)
    assert [desk.server_of(desk.submit()) for _ in range(4)] == ["s2", "s2", "s1", "s1"]


def test_suspicious_answers_order_one_check_and_degrade_at_most(desk: Desk) -> None:
    desk.server("s1", max_concurrent=100)
    bad: dict[str, Any] = {"http_status": 404, "effect": Effect.SUSPECT, "error": "HTTP 404"}
    tasks = [desk.submit(max_retries=0) for _ in range(3)]
    desk.take(*[desk.ended(task, Outcome.FAILED, **bad) for task in tasks])
    assert desk.checks_ordered() == ["s1"]  # one, for all three
    assert desk.server_status("s1") == "online"
    score = known(desk).health.score
    assert score < 100
    tasks = [desk.submit(max_retries=0) for _ in range(60)]
    desk.take(*[desk.ended(task, Outcome.FAILED, **bad) for task in tasks])
    assert desk.server_status("s1") == "degraded"
    desk.check("s1", True)
    assert known(desk).health.score < score


@pytest.mark.parametrize("status", [400, 408, 413, 422, 425])
def test_listed_answers_say_nothing_about_the_server(desk: Desk, status: int) -> None:
    desk.server("s1")
    desk.end(desk.submit(max_retries=0), Outcome.FAILED, http_status=status, effect=Effect.NONE)
    assert (desk.checks_ordered(), known(desk).health.score) == ([], 100)


def test_capabilities_of_a_check_are_taken_only_when_the_registration_had_none(desk: Desk) -> None:
    learns, given, none_given = "learns", "given", "none"
    desk.take(
        desk.registered(learns),
        desk.registered(given, capabilities=("a",)),
        desk.registered(none_given, capabilities=()),
    )
    task = desk.submit(capabilities=("b",))
    for server_id in (given, none_given):
        desk.check(server_id, True, ("b",))
        assert desk.status(task) is Status.PENDING
    desk.check(learns, True, ("a", "b"))
    assert desk.server_of(task) == learns
    desk.check(learns, True, ("c",))
    assert known(desk, learns).capabilities == ("c",)
    desk.check(learns, True, None)  # says nothing of them: what is known stays
    desk.restart()
    assert known(desk, learns).capabilities == ("c",)


def test_an_offline_servers_attempts_are_given_up_after_the_grace(desks: Desks) -> None:
    desk = desks(Limits(offline_grace_ms=30_000))
    desk.server("s1", cancel_url="http://s1/cancel")
    task = desk.submit()
    desk.end(task, Outcome.ACCEPTED, http_status=202)
    for _ in range(3):
        desk.check("s1", False)
    assert desk.server_status("s1") == "offline"
    desk.advance(29_999)
    assert desk.status(task) is Status.PROCESSING
    desk.advance(1)
    assert desk.status(task) is Status.PENDING
    assert desk.outcomes(task) == [(1, "lost", 1)]
    assert desk.aborted() == [(task, 1, "http://s1/cancel")]


@pytest.mark.parametrize("sign", ["check", "heartbeat", "callback"])
def test_a_sign_of_life_starts_the_grace_anew(desk: Desk, sign: str) -> None:
    desk.server("s1")
    task = desk.submit()
    desk.end(task, Outcome.ACCEPTED, http_status=202)
    for _ in range(3):
        desk.check("s1", False)
    desk.advance(20_000)
    if sign == "check":
        desk.check("s1", True)
        desk.passing.clear()
    elif sign == "heartbeat":
        beat(desk)
    else:
        desk.call_back(task, Word.PROCESSING, 1)
    assert desk.server_status("s1") == "offline"
    desk.advance(29_999)
    assert desk.status(task) is Status.PROCESSING
    desk.advance(1)
    assert desk.status(task) is Status.PENDING


def test_a_server_neither_checked_nor_heard_from_is_stale(desks: Desks) -> None:
    """Checks fall silent with the host; here the engine's own watch over them is made longer than the threshold."""
    desk = desks(Limits(stale_ms=300_000, sweep_ms=60_000, check_timeout_ms=10_000_000))
    desk.server("s1")
    desk.passing.clear()
    desk.advance(240_000)
    assert desk.server_status("s1") == "online"
    beat(desk)
    desk.advance(299_000)
    assert desk.server_status("s1") == "online"
    desk.advance(61_000)
    assert desk.server_status("s1") == "offline"


def test_staleness_starts_anew_with_the_node(desks: Desks) -> None:
    desk = desks(Limits(check_timeout_ms=10_000_000))
    desk.server("s1")
    desk.passing.clear()
    desk.now += 3_600_000
    desk.restart()
    desk.advance(290_000)
    assert desk.server_status("s1") == "online"
    desk.advance(70_000)
    assert desk.server_status("s1") == "offline"


def test_a_check_asked_for_is_answered_by_its_end(desk: Desk) -> None:
    desk.server("s1")
    desk.take(CheckAsked(ref=900, server_id="s1", who="ops", admin=True))
    (check,) = desk.of(Check)
    assert (check.server_id, check.ref) == ("s1", 900)
    desk.take(Checked(check.ref, server_id="s1", passed=False, took_ms=5, error="answered 500"))
    (answer,) = desk.of(Answer)
    assert (answer.ref, done(answer.result).status) == (900, "degraded")


# --- the policy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_the_algorithm_holds_from_the_next_pick_and_outlives_a_restart(desk: Desk, name: str) -> None:
    desk.rng = Random(1)
    desk.server("s1", max_concurrent=50)
    assert desk.ask(AlgorithmSet(name=name, who="root")) == AlgorithmDone(name)
    assert desk.engine.memory.fleet.policy.name == name
    desk.restart()
    assert desk.engine.memory.fleet.policy.name == name
    assert desk.server_of(desk.submit()) == "s1"


def test_an_unknown_algorithm_names_those_there_are(desk: Desk) -> None:
    answer = desk.ask(AlgorithmSet(name="fastest-finger", who="root"))
    assert isinstance(answer, Refusal)
    assert answer.code == "bad_request"
    assert all(name in answer.details for name in POLICIES)
    assert desk.engine.memory.fleet.policy.name == "weighted-round-robin"


def test_weights_share_the_tasks_while_slots_are_idle(desk: Desk) -> None:
    desk.server("s1", weight=1, max_concurrent=100)
    desk.server("s2", weight=3, max_concurrent=100)
    servers = [desk.server_of(desk.submit()) for _ in range(40)]
    assert (servers.count("s1"), servers.count("s2")) == (10, 30)
    assert all(servers[n : n + 4].count("s1") == 1 for n in range(0, 40, 4))


def test_a_check_of_an_address_that_the_server_has_left_tells_nothing(desk: Desk) -> None:
    desk.server("s1")
    server = desk.engine.memory.fleet.servers["s1"]
    old = server.health_url
    desk.take(
        Registered(server_id="s1", made_id="", who="ann", admin=True, patch=True, health_url="http://elsewhere/health")
    )
    desk.take(Checked(server_id="s1", passed=False, took_ms=1, error="refused", url=old))
    assert (server.health.fails, server.checking) == (0, True)
    desk.take(Checked(server_id="s1", passed=False, took_ms=1, error="refused", url="http://elsewhere/health"))
    assert (server.health.fails, server.checking) == (1, False)
