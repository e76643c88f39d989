"""Changes of many tasks at once: which tasks, and how far it is."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta, field

from taskyard.wire.base import Answer, Body, Label, ServerId, Tag, TaskId, TaskType, Text, Time, word_pattern
from taskyard.wire.tasks import STATUSES

# What says which tasks, and the schema of that.
_WAYS: dict[str, dict[str, Any]] = {
    "ids": {"type": "array"},
    "filter": {"type": "object"},
    "group": {"type": "string"},
    "all": {"enum": [True]},
}
_LooseWord = Annotated[str, Meta(extra_json_schema={"pattern": word_pattern(*STATUSES)})]


class BulkFilter(Body):
    """Which tasks, as in the list; one member at least. `status` is one status or a list of them, which may be empty.

    A member that there is not is refused here: without it far more tasks would be changed than were meant.
    """

    exact = True

    # The words are checked by `statuses`: a union of a pattern and a list frees memory twice in msgspec 0.22.
    status: Annotated[
        _LooseWord | list[_LooseWord] | None, Meta(description=f"One or more of {', '.join(STATUSES)}.")
    ] = None
    type: TaskType | None = None
    server_id: ServerId | None = None
    capability: Label | None = None
    tag: Tag | None = None
    owner: Annotated[Text | None, Meta(description="Whose tasks (admin; others change their own).")] = None
    created_from: Time | None = field(default=None, name="from")
    created_to: Time | None = field(default=None, name="to")
    q: Label | None = None
    failure_group: Annotated[Label | None, Meta(description="That ended as this group of failures.")] = None

    def statuses(self) -> list[str] | None:
        """The statuses in upper case. Raises ValueError for an unknown one, in words that follow the member's name."""
        words = [self.status] if isinstance(self.status, str) else self.status
        if words is None:
            return None
        found = [word.upper() for word in words]
        for word in found:
            if word not in STATUSES:
                raise ValueError(f"must be one or more of {', '.join(STATUSES)}")
        return found


class BulkRequest(Body):
    """Many tasks, by their ids, by a filter, by the id of a group of failures, or all of them: one of the four."""

    rule: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {
                "required": [name],
                "properties": {other: schema if other == name else {"type": "null"} for other in _WAYS},
            }
            for name, schema in _WAYS.items()
        ]
    }

    ids: Annotated[
        Annotated[list[TaskId], Meta(min_length=1, max_length=10_000)] | None, Meta(description="1-10000 task ids.")
    ] = None
    filter: BulkFilter | None = None
    group: Annotated[Label | None, Meta(description="A group of `GET /api/failures`: its tasks that are kept.")] = None
    all: Annotated[bool | None, Meta(description="`true`: all tasks that the caller may change.")] = None
    dry_run: Annotated[bool | None, Meta(description="Only counts what would be changed.")] = None


_FILTERS = BulkFilter.__struct_encode_fields__
_WAYS["filter"] |= {
    "propertyNames": {"enum": list(_FILTERS)},
    "anyOf": [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in _FILTERS],
}


class BulkAnswer(Answer):
    """What was done so far. `skipped` were in a state that forbids it, or not found."""

    matched: int
    changed: int
    skipped: int
    by_status: Annotated[dict[str, int], Meta(description="The matched tasks by the status they had.")]
    dry_run: bool
    bulk_id: Annotated[str | None, Meta(description="The job that does the rest; null when all is done.")] = None


class BulkJob(BulkAnswer, kw_only=True):
    """A bulk job. They are kept in memory for an hour after their end and do not outlive the node."""

    action: Annotated[str, Meta(extra_json_schema={"enum": ["retry", "cancel"]})]
    state: Annotated[str, Meta(extra_json_schema={"enum": ["running", "done", "stopped", "failed"]})]
    error: str | None
    created_at: Time
    updated_at: Time
