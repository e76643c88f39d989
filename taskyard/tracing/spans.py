"""The spans of a task: one for its submission, each wait, each attempt, what is sent to its server, and each callback.

A span is made from what a fact, an effect or the task's record says, by whichever node has that at hand; all that ties
them together is the context kept with the task. Its span is that of the submission. An attempt's span has an id that
every node can tell from the task's id and the attempt's number, so that the server's spans, callbacks to another node
and what follows a crash find their parent. No span holds a payload, a result, an error's text, a URL or a token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from hashlib import blake2b
from typing import Any, Concatenate, NamedTuple, ParamSpec

import structlog
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from taskyard.domain.outcomes import Outcome
from taskyard.domain.outcomes import Status as TaskStatus
from taskyard.domain.task import Spec
from taskyard.engine.facts import CalledBack, Ended, Fact, Submitted
from taskyard.engine.plan import AttemptOver, Changed, Dispatch, Plan, Refusal, Result, SubmitDone, Unserved
from taskyard.tracing.context import Context, context_of

log = structlog.get_logger()
P = ParamSpec("P")
SYSTEM = "taskyard"
# What operations of ours are in the words of the messaging conventions.
_TYPES = {"submit": "send", "process": "process"}
# What is nobody's mistake.
_FINE = frozenset({Outcome.COMPLETED, Outcome.ACCEPTED, Outcome.DECLINED, Outcome.CANCELLED})


class Traced(NamedTuple):
    """Of a task's record: its context, its type, and the number of its latest attempt."""

    traceparent: str | None
    type: str
    attempts: int


class Ids(RandomIdGenerator):
    """Random ids, but for a span whose id is told before it is begun."""

    def __init__(self) -> None:
        self.next_span = 0

    def generate_span_id(self) -> int:
        """The id of the span that is begun."""
        told, self.next_span = self.next_span, 0
        return told or super().generate_span_id()


def _harmless(make: Callable[Concatenate[Spans, P], None]) -> Callable[Concatenate[Spans, P], None]:
    """Whatever goes wrong over a span, nothing but the span is lost by it."""

    def made(spans: Spans, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            make(spans, *args, **kwargs)
        except Exception:
            log.exception("span_failed")

    return made


class Spans:
    """Makes spans; all calls come from the event loop's thread.

    `ids` are those that the tracer asks, `now` is the node's clock (int ms). What is traced of a task is `known` from
    memory, or else `read` from the store.
    """

    def __init__(
        self,
        tracer: Tracer,
        ids: Ids,
        *,
        now: Callable[[], int],
        known: Callable[[str], Traced | None],
        read: Callable[[str], Awaitable[Traced | None]],
    ) -> None:
        self._tracer = tracer
        self._ids = ids
        self._now = now
        self._known = known
        self._read = read
        self._sent: dict[tuple[str, int], Span] = {}
        self._looking: set[asyncio.Task[None]] = set()

    def submit(self, fact: Submitted, take: Callable[[Fact], asyncio.Future[Result]]) -> asyncio.Future[Result]:
        """Have a submission taken, under a span that becomes the task's. Raises what `take` does."""
        span = self._submission(fact.spec)
        try:
            answer = take(fact)
        except Exception as error:
            _is_error(span, type(error).__name__)
            span.end(self._now() * 1_000_000)
            raise
        answer.add_done_callback(partial(self._taken, span))
        return answer

    def call_back(
        self, fact: CalledBack, given: str | None, take: Callable[[Fact], asyncio.Future[Result]]
    ) -> asyncio.Future[Result]:
        """Have a callback taken; `given` is the context that came with it. Raises what `take` does."""
        began = self._now()
        traced = self._known(fact.task_id)  # which the turn may change
        decided = take(fact)
        if traced is not None:
            self._called_back(fact, traced, given, began, decided)
        else:
            looking = asyncio.get_running_loop().create_task(self._look(fact, given, began, decided))
            self._looking.add(looking)
            looking.add_done_callback(self._looking.discard)
        return decided

    @_harmless
    def dispatched(self, effect: Dispatch, sending: asyncio.Future[Any]) -> None:
        """An attempt is being sent: its task's wait is over."""
        context = _wanted(effect.traceparent)
        if context is None:
            return
        started = effect.limit_at - effect.timeout_ms
        about: dict[str, str | int] = {
            "messaging.system": SYSTEM,
            "messaging.operation.name": "wait",
            "messaging.destination.name": effect.type,
            "messaging.message.id": effect.task_id,
            "taskyard.task.priority": effect.priority,
            "taskyard.attempt": effect.attempt,
        }
        wait = self._begin(f"wait {effect.type}", context, SpanKind.INTERNAL, started - effect.waited_ms, about)
        wait.end(started * 1_000_000)
        name = (effect.task_id, effect.attempt)
        about = {
            "http.request.method": "POST",
            "messaging.message.id": effect.task_id,
            "taskyard.attempt": effect.attempt,
            "taskyard.server.id": effect.server_id,
        }
        self._sent[name] = self._begin("POST", _attempt(context, *name), SpanKind.CLIENT, self._now(), about)
        sending.add_done_callback(partial(self._not_answered, name))

    def heading(self, traceparent: str, effect: Dispatch) -> str:
        """The context to send with an attempt of a task that has one: under the attempt's span if it has one."""
        context = _wanted(traceparent)
        return traceparent if context is None else _attempt(context, effect.task_id, effect.attempt).text()

    @_harmless
    def answered(self, fact: Fact) -> None:
        """What the dispatcher found out, if it is how an exchange ended."""
        if not isinstance(fact, Ended) or (span := self._sent.pop((fact.task_id, fact.attempt), None)) is None:
            return
        if fact.http_status is not None:
            span.set_attribute("http.response.status_code", fact.http_status)
        if fact.http_status is not None and fact.http_status >= 400:
            _is_error(span, str(fact.http_status))
        elif fact.outcome not in _FINE:
            _is_error(span, fact.outcome.value)
        span.end(self._now() * 1_000_000)

    @_harmless
    def decided(self, plan: Plan) -> None:
        """A plan is committed: the attempts that it ended, and the tasks that ended without one."""
        # In the turn in which it failed a task may have been sent again.
        became = {
            effect.task_id: effect.status
            for effect in plan.effects
            if type(effect) is Changed and effect.status is not TaskStatus.PROCESSING
        }
        for effect in plan.effects:
            if type(effect) is AttemptOver:
                self._over(effect, plan.now, became.get(effect.task_id))
            elif type(effect) is Unserved:
                self._unserved(effect, plan.now)

    def close(self) -> None:
        """No more spans: those that are open are let go."""
        for looking in self._looking:
            looking.cancel()

    # --- one kind each -----------------------------------------------------------------------------------------------

    def _submission(self, spec: Spec) -> Span:
        """The span that becomes the task's: from here on the task's context is its."""
        parent = context_of(spec.traceparent) if spec.traceparent is not None else None
        span = self._begin(f"submit {spec.type}", parent, SpanKind.SERVER, spec.created_at, _of_task(spec, "submit"))
        made = span.get_span_context()
        # The flag beside "sampled" tells how the trace's id was made, by whoever made it.
        flags = (parent.flags & ~TraceFlags.SAMPLED if parent is not None else 0) | made.trace_flags
        spec.traceparent = Context(made.trace_id, made.span_id, flags, parent.state if parent else "").text()
        return span

    def _over(self, effect: AttemptOver, now: int, became: TaskStatus | None) -> None:
        context = _wanted(effect.spec.traceparent)
        if context is None:
            return
        about = _of_task(effect.spec, "process") | {
            "taskyard.attempt": effect.attempt,
            "taskyard.server.id": effect.server_id,
            "taskyard.outcome": effect.outcome.value,
        }
        began = now - effect.took_ms
        self._ids.next_span = _attempt(context, effect.task_id, effect.attempt).span_id
        span = self._begin(f"attempt {effect.spec.type}", context, SpanKind.CLIENT, began, about)
        if effect.response_ms is not None:
            span.add_event("answered", timestamp=(began + effect.response_ms) * 1_000_000)
        if effect.outcome not in (Outcome.COMPLETED, Outcome.FAILED):
            span.add_event(effect.outcome.value, timestamp=now * 1_000_000)
        if became is TaskStatus.PENDING:
            span.add_event("retry", timestamp=now * 1_000_000)
        elif became is not None:
            span.add_event("task ended", {"taskyard.task.status": became.name}, now * 1_000_000)
        if effect.outcome not in _FINE:
            _is_error(span, effect.outcome.value)
        span.end(now * 1_000_000)

    def _unserved(self, effect: Unserved, now: int) -> None:
        context = _wanted(effect.spec.traceparent)
        if context is None:
            return
        about = _of_task(effect.spec, "wait") | {"taskyard.attempt": effect.attempts + 1}
        span = self._begin(f"wait {effect.spec.type}", context, SpanKind.INTERNAL, now - effect.waited_ms, about)
        span.add_event("task ended", {"taskyard.task.status": effect.status.name}, now * 1_000_000)
        if effect.status is TaskStatus.TIMEOUT:
            _is_error(span, "timeout")
        span.end(now * 1_000_000)

    async def _look(self, fact: CalledBack, given: str | None, began: int, decided: asyncio.Future[Result]) -> None:
        try:
            traced = await self._read(fact.task_id)
        except Exception as error:  # nothing but a span is lost by it
            log.debug("callback_untraced", reason=str(error))
            return
        if traced is not None:
            self._called_back(fact, traced, given, began, decided)

    @_harmless
    def _called_back(
        self, fact: CalledBack, traced: Traced, given: str | None, began: int, decided: asyncio.Future[Result]
    ) -> None:
        context = _wanted(traced.traceparent)
        if context is None:
            return
        number = fact.attempt if fact.attempt is not None else traced.attempts
        parent = _attempt(context, fact.task_id, number)
        theirs = context_of(given) if given is not None else None
        links = []
        if theirs is not None and theirs.trace_id == context.trace_id:
            parent = parent._replace(span_id=theirs.span_id)
        elif theirs is not None:
            links.append(Link(_remote(theirs)))
        about: dict[str, str | int] = {
            "messaging.system": SYSTEM,
            "messaging.operation.name": "settle",
            "messaging.operation.type": "settle",
            "messaging.destination.name": traced.type,
            "messaging.message.id": fact.task_id,
            "taskyard.attempt": number,
            "taskyard.callback.status": fact.word.value,
        }
        span = self._begin(f"callback {traced.type}", parent, SpanKind.SERVER, began, about, links)
        decided.add_done_callback(partial(self._taken, span))

    def _begin(
        self,
        name: str,
        parent: Context | None,
        kind: SpanKind,
        at: int,
        about: Mapping[str, str | int],
        links: list[Link] | None = None,
    ) -> Span:
        around = set_span_in_context(NonRecordingSpan(_remote(parent))) if parent is not None else _NOWHERE
        return self._tracer.start_span(
            name, around, kind, about, links, at * 1_000_000, record_exception=False, set_status_on_exception=False
        )

    def _taken(self, span: Span, answer: asyncio.Future[Result]) -> None:
        error = None if answer.cancelled() else answer.exception()
        if error is not None:
            _is_error(span, type(error).__name__)
        elif not answer.cancelled():
            result = answer.result()
            if isinstance(result, Refusal):
                span.set_attribute("error.type", result.code)
            elif isinstance(result, SubmitDone) and result.replayed:
                span.set_attribute("taskyard.replayed", value=True)
        span.end(self._now() * 1_000_000)

    def _not_answered(self, name: tuple[str, int], sending: asyncio.Future[Any]) -> None:
        """Sending is over; where nobody was told how it ended, it was given up."""
        span = self._sent.pop(name, None)
        if span is not None:
            span.add_event("given up", timestamp=self._now() * 1_000_000)
            span.end(self._now() * 1_000_000)


# No span is the parent of one that begins here, whatever the context of the code that runs.
_NOWHERE = set_span_in_context(NonRecordingSpan(SpanContext(0, 0, is_remote=False)))


def _remote(context: Context) -> SpanContext:
    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(context.trace_id, context.span_id, True, TraceFlags(context.flags), state)


def _wanted(traceparent: str | None) -> Context | None:
    """A task's context if its spans are wanted: that was decided with its submission."""
    context = context_of(traceparent) if traceparent is not None else None
    return context if context is not None and context.sampled else None


def _attempt(context: Context, task_id: str, number: int) -> Context:
    """A task's context under its attempt's span, whose id every node can tell."""
    name = blake2b(f"{task_id}/{number}".encode(), digest_size=8).digest()
    return context._replace(span_id=int.from_bytes(name, "big") or 1)


def _of_task(spec: Spec, operation: str) -> dict[str, str | int]:
    about: dict[str, str | int] = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.destination.name": spec.type,
        "messaging.message.id": spec.id,
        "taskyard.task.priority": spec.priority,
    }
    if operation in _TYPES:
        about["messaging.operation.type"] = _TYPES[operation]
    return about


def _is_error(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, kind))
