"""The backends of the simulation: each does with a task what its behaviour says, and logs what it works on.

A behaviour is a method of `Backend` named after it. It works for a while, then answers the dispatch, calls back, or
does neither; the dispatch answer is judged as the real dispatcher judges it. Knows nothing of the engine.
"""

from __future__ import annotations

from random import Random
from typing import Any

from taskyard.domain.outcomes import Outcome, Word, judge
from taskyard.engine.facts import CalledBack, Ended
from taskyard.engine.plan import Dispatch, Refusal, Result
from tests.simulation.errands import Tell
from tests.simulation.host import Host
from tests.simulation.journal import Journal
from tests.simulation.scenario import Machine
from tests.simulation.world import World

CALLBACK_TRIES = 6


class Backend:
    """One machine. `calm` makes it quick and faultless."""

    def __init__(self, world: World, host: Host, journal: Journal, machine: Machine, rng: Random) -> None:
        self.machine = machine
        self.up = True
        self.calm = False
        self.refuses_key = False
        self._world = world
        self._host = host
        self._journal = journal
        self._rng = rng
        self._working: set[tuple[str, int]] = set()
        self._names = [name for name, _ in machine.behaviours]
        self._weights = [weight for _, weight in machine.behaviours]

    # --- what the node asks ------------------------------------------------------------------------------------------

    def post(self, dispatch: Dispatch, answer: Tell) -> None:
        """A dispatch arrives, or fails to."""
        if not self.up:
            answer(Ended(**_of(dispatch), outcome=Outcome.UNREACHED, error="connection refused"))
            return
        if self.refuses_key and not self.calm:
            self._answers(dispatch, answer, 401)
            return
        self._working.add((dispatch.task_id, dispatch.attempt))
        self._log("begins", dispatch, dispatch.payload)
        if self.calm:
            self._world.after(5, self._answers, dispatch, answer, 200)
            return
        (name,) = self._rng.choices(self._names, self._weights)
        getattr(self, "_" + name)(dispatch, answer)

    def cancel(self, task_id: str, attempt: int) -> bool:
        """The cancel endpoint is asked to stop an attempt; it confirms even what it does not know (404)."""
        if not self.up or not self.machine.can_cancel:
            return False
        self._end((task_id, attempt))
        return True

    def check(self) -> bool:
        """The health endpoint is asked."""
        return self.up and (self.calm or self._rng.random() >= self.machine.flaps)

    def hang_up(self, task_id: str, attempt: int) -> None:
        """The connection of a dispatch was closed: some machines notice, and stop."""
        if self.machine.can_cancel and self._rng.random() < 0.5:
            self._end((task_id, attempt))

    def fall(self) -> None:
        """The machine goes down, and what it was at is gone."""
        self.up = False
        for attempt in list(self._working):
            self._end(attempt)

    # --- moves -------------------------------------------------------------------------------------------------------

    def _work(self) -> int:
        return self._rng.randrange(self.machine.fast_ms, self.machine.slow_ms + 1)

    def _log(self, what: str, dispatch: Dispatch, *more: object) -> None:
        key = dispatch.task_id, dispatch.attempt
        self._journal.write(self._world.now, "backend", what, self.machine.name, *key, *more)

    def _end(self, attempt: tuple[str, int]) -> None:
        if attempt in self._working:
            self._working.discard(attempt)
            self._journal.write(self._world.now, "backend", "ends", self.machine.name, *attempt)

    def _answers(
        self, dispatch: Dispatch, answer: Tell, status: int, word: str | None = None, wait_ms: int | None = None
    ) -> None:
        """Answer the dispatch; all but an acceptance ends the work."""
        key = dispatch.task_id, dispatch.attempt
        if key not in self._working and status != 401:
            return  # it fell or was cancelled meanwhile; the connection broke with it
        told_async = self.machine.is_async and word is None
        verdict = judge(status, word, asks_to_wait=wait_ms is not None, server_is_async=told_async)
        if verdict.outcome is Outcome.ACCEPTED and word is None and status == 200:
            self._world.after(self._work(), self._calls, dispatch, Word.COMPLETED)  # it was registered as one that does
        elif verdict.outcome is not Outcome.ACCEPTED:
            self._end(key)
        done = verdict.outcome is Outcome.COMPLETED
        answer(
            Ended(
                **_of(dispatch),
                outcome=verdict.outcome,
                final=verdict.final,
                effect=verdict.effect,
                pause_ms=wait_ms,
                result=_result(dispatch) if done else None,
                error=None if done else f"answered {status}",
                http_status=status,
                responded_at=self._world.now,
            )
        )

    def _later(self, dispatch: Dispatch, answer: Tell, status: int, word: str | None = None) -> None:
        self._world.after(self._work(), self._answers, dispatch, answer, status, word)

    def _calls(self, dispatch: Dispatch, word: Word, tries: int = CALLBACK_TRIES, more: Word | None = None) -> None:
        """Call back, again when nobody answers; then say `more`."""
        key = dispatch.task_id, dispatch.attempt
        if word is not Word.PROCESSING:
            self._end(key)
        done = word is Word.COMPLETED
        fact = CalledBack(
            task_id=dispatch.task_id,
            attempt=dispatch.attempt if self.machine.has_proof else None,
            word=word,
            result=_result(dispatch, proof=self.machine.has_proof) if done else None,
            progress=self._rng.randrange(100) if word is Word.PROCESSING else None,
            error=None if done else "so it was",
        )

        def heard(result: Result | None) -> None:
            if result is None and tries > 1:
                self._world.after(1_000, self._calls, dispatch, word, tries - 1, more)
            elif isinstance(result, Refusal) and word is Word.PROCESSING:
                self._end(key)
            elif more is not None:
                self._world.after(self._rng.randrange(200), self._calls, dispatch, more)

        self._host.ask(fact, heard)

    def _accepts(self, dispatch: Dispatch, answer: Tell) -> None:
        self._world.after(self._rng.randrange(20), self._answers, dispatch, answer, 202, "accepted")

    # --- behaviours --------------------------------------------------------------------------------------------------

    def _succeeds(self, dispatch: Dispatch, answer: Tell) -> None:
        self._later(dispatch, answer, 200)

    def _fails_in_words(self, dispatch: Dispatch, answer: Tell) -> None:
        self._later(dispatch, answer, 200, "error")

    def _crashes(self, dispatch: Dispatch, answer: Tell) -> None:
        self._later(dispatch, answer, 500)

    def _finds_it_wrong(self, dispatch: Dispatch, answer: Tell) -> None:
        self._later(dispatch, answer, self._rng.choice((400, 413, 422)))

    def _answers_timeout(self, dispatch: Dispatch, answer: Tell) -> None:
        self._later(dispatch, answer, 200, "timeout")

    def _declines(self, dispatch: Dispatch, answer: Tell) -> None:
        self._answers(dispatch, answer, 429)

    def _declines_for_a_time(self, dispatch: Dispatch, answer: Tell) -> None:
        self._answers(dispatch, answer, 503, None, self._rng.choice((0, 500, 5_000)))

    def _resets(self, dispatch: Dispatch, answer: Tell) -> None:
        self._world.after(self._work(), self._breaks_off, dispatch, answer, False)

    def _is_cut_off(self, dispatch: Dispatch, answer: Tell) -> None:
        self._world.after(self._work(), self._breaks_off, dispatch, answer, True)

    def _breaks_off(self, dispatch: Dispatch, answer: Tell, cut_off: bool) -> None:
        if not cut_off:
            self._end((dispatch.task_id, dispatch.attempt))
        error = "silent after its head" if cut_off else "reset by peer"
        responded_at = self._world.now if cut_off else None
        answer(Ended(**_of(dispatch), outcome=Outcome.FAILED, error=error, responded_at=responded_at, cut_off=cut_off))

    def _hangs(self, dispatch: Dispatch, answer: Tell) -> None:
        """Takes it and is never heard of again."""

    def _accepts_in_silence(self, dispatch: Dispatch, answer: Tell) -> None:
        self._accepts(dispatch, answer)

    def _calls_back(self, dispatch: Dispatch, answer: Tell) -> None:
        self._accepts(dispatch, answer)
        self._world.after(20 + self._work(), self._calls, dispatch, Word.COMPLETED)

    def _calls_back_failed(self, dispatch: Dispatch, answer: Tell) -> None:
        self._accepts(dispatch, answer)
        self._world.after(20 + self._work(), self._calls, dispatch, Word.FAILED)

    def _calls_back_timeout(self, dispatch: Dispatch, answer: Tell) -> None:
        self._accepts(dispatch, answer)
        self._world.after(20 + self._work(), self._calls, dispatch, Word.TIMEOUT)

    def _hands_back(self, dispatch: Dispatch, answer: Tell) -> None:
        self._accepts(dispatch, answer)
        word = self._rng.choice((Word.CANCELLED, Word.PENDING))
        self._world.after(20 + self._work(), self._calls, dispatch, word)

    def _calls_back_with_progress(self, dispatch: Dispatch, answer: Tell) -> None:
        self._accepts(dispatch, answer)
        for part in range(3):
            self._world.after(20 + part * self.machine.fast_ms // 4, self._calls, dispatch, Word.PROCESSING)
        self._world.after(20 + self._work(), self._calls, dispatch, Word.COMPLETED)

    def _calls_back_early(self, dispatch: Dispatch, answer: Tell) -> None:
        self._calls(dispatch, Word.COMPLETED)
        self._world.after(self._rng.randrange(20), self._answers_after_all, dispatch, answer)

    def _answers_after_all(self, dispatch: Dispatch, answer: Tell) -> None:
        answer(Ended(**_of(dispatch), outcome=Outcome.ACCEPTED, http_status=202, responded_at=self._world.now))

    def _calls_back_twice(self, dispatch: Dispatch, answer: Tell) -> None:
        self._accepts(dispatch, answer)
        self._world.after(20 + self._work(), self._calls, dispatch, Word.COMPLETED, CALLBACK_TRIES, Word.COMPLETED)

    def _calls_back_twice_otherwise(self, dispatch: Dispatch, answer: Tell) -> None:
        self._accepts(dispatch, answer)
        words = self._rng.sample((Word.COMPLETED, Word.FAILED), 2)
        self._world.after(20 + self._work(), self._calls, dispatch, words[0], CALLBACK_TRIES, words[1])

    def _is_late(self, dispatch: Dispatch, answer: Tell) -> None:
        """Calls back once given up: while the slot lingers, while the task waits, or from a superseded attempt."""
        self._accepts(dispatch, answer)
        late = dispatch.timeout_ms + self._rng.choice((100, 2_000, 30_000))
        self._world.after(late, self._calls, dispatch, Word.COMPLETED)


def _of(dispatch: Dispatch) -> dict[str, Any]:
    return {"task_id": dispatch.task_id, "attempt": dispatch.attempt}


def _result(dispatch: Dispatch, *, proof: bool = True) -> str:
    """What a backend makes of a task: who made it. Without a proof nobody can hold it to its attempt."""
    return f'{{"task": "{dispatch.task_id}", "attempt": {dispatch.attempt if proof else "null"}}}'
