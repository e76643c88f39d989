"""Facts and effects as plain tuples: the form in which the host's log gives them to the oracle (see `oracle`)."""

from __future__ import annotations

from typing import Any

from taskyard.engine.facts import (
    Beat,
    CalledBack,
    CancelAsked,
    Checked,
    DrainBegan,
    Ended,
    Fact,
    Judged,
    MaintenanceSet,
    NodeGone,
    PurgeAsked,
    Registered,
    RetryAsked,
    SlotFreed,
    Submitted,
    Unregistered,
)
from taskyard.engine.plan import (
    Answer,
    AnyEffect,
    AttemptOver,
    Changed,
    Dispatch,
    Plan,
    Refusal,
    ServerChanged,
    ServerDone,
    SubmitDone,
    TaskDone,
)

Plain = tuple[Any, ...]


def plain_fact(fact: Fact) -> Plain:
    """A fact, by its kind and ref."""
    match fact:
        case Submitted():
            return "submitted", fact.ref, fact.spec.id
        case Ended():
            about = (fact.task_id, fact.attempt, fact.outcome.value, fact.http_status, fact.pause_ms, fact.effect.value)
            return "ended", 0, *about, fact.responded_at, fact.final, fact.cut_off
        case CalledBack():
            return "called_back", fact.ref, fact.task_id, fact.attempt, fact.word.value
        case Checked():
            return "checked", fact.ref, fact.server_id, fact.passed, fact.capabilities
        case SlotFreed():
            return "slot_freed", 0, fact.task_id, fact.attempt
        case CancelAsked():
            return "cancel", fact.ref, fact.task_id, fact.owner
        case RetryAsked():
            return "retry", fact.ref, fact.task_id, fact.owner
        case PurgeAsked():
            return "purge", fact.ref, fact.task_id, fact.owner
        case Judged():
            return "judged", fact.ref, fact.task_id, fact.owner, fact.word.value
        case Beat():
            return "beat", fact.ref, fact.server_id, fact.status
        case MaintenanceSet():
            return "maintenance", fact.ref, fact.server_id, fact.on
        case Registered():
            return "registered", fact.ref, fact.patch, fact.capabilities, fact.groups, fact.max_concurrent, fact.weight
        case Unregistered():
            return "unregistered", fact.ref, fact.server_id
        case DrainBegan():
            return "drain", 0
        case NodeGone():
            return "node_gone", 0, fact.node
    return type(fact).__name__, fact.ref


def plain_effect(effect: AnyEffect) -> Plain | None:
    """An effect, by its kind; `None` for one that the oracle has no use for."""
    match effect:
        case Dispatch():
            return "dispatch", effect.task_id, effect.attempt, effect.server_id, effect.limit_at, effect.node
        case Changed():
            return "changed", effect.task_id, effect.status.name
        case AttemptOver():
            return "over", effect.task_id, effect.attempt, effect.server_id, effect.outcome.value
        case Answer():
            return "answer", effect.ref, *_plain_result(effect.result)
        case ServerChanged():
            return "server", effect.server_id, effect.status
    return None


def _plain_result(result: Any) -> Plain:
    match result:
        case SubmitDone():
            return "submit", result.task_id, result.replayed
        case TaskDone():
            return "task", result.task_id, result.status.name
        case Refusal():
            return "refused", result.code
        case ServerDone():
            return "server", result.server_id, result.status
    return (type(result).__name__,)


def plain_turn(facts: list[Fact], plan: Plan, due: bool) -> tuple[list[Plain], list[Plain], list[Plain], bool]:
    """A turn: its facts, the effects of its plan, the queue rows it wrote, and whether there is more to do at once.

    `due` says that another turn is due by the clock.
    """
    deferred = {id(fact) for fact in plan.deferred}
    return (
        [plain_fact(fact) for fact in facts if id(fact) not in deferred],
        [plain for plain in map(plain_effect, plan.effects) if plain is not None],
        [(row.task_id, row.avoid, row.due_at) for row in plan.writes.queued],
        due or plan.again or bool(plan.deferred),
    )
