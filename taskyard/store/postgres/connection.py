"""One connection: statements go out together in pipeline mode and their answers come back together, within a limit of
time. The only place that knows the driver and its errors. Knows nothing of tasks.

An exchange ends with one Sync, so that the server takes it as one transaction, without BEGIN and COMMIT: all of it or
nothing. Nothing outlives it on the server: no prepared statement, no setting of the session. So a pooler may give each
transaction to another of its connections.
"""

from __future__ import annotations

import re
import select
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import error_from_result

from taskyard.store.port import BadData, OutcomeUnknown, StoreError
from taskyard.store.postgres.queries import Call

# What the URL does not say. A peer that is gone without a word is found out by the system too, not only by the limits.
_DEFAULTS: Final = {
    "connect_timeout": "5",
    "application_name": "taskyard",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
# Our own codes of errors: of `prove_epoch`, another node decides; of `check_place`, nobody works on this database.
_FENCED: Final = "TY001"
_MOVED: Final = "TY003"
# Values that are refused: data exceptions, constraints, limits of the program (an index entry that is too long).
_DATA_CLASSES: Final = ("22", "23", "54")
# What the server's errors mean, by how their codes begin. Its own words may quote what is stored, or name its users.
_MEANINGS: Final = (
    ("25006", "it takes no writes"),
    ("28", "it does not let this user in"),
    ("40", "the transaction met another one"),
    ("42501", "its user may not do this"),
    ("53100", "its disk is full"),
    ("53", "it is short of room or connections"),
    ("55P03", "what is needed is locked"),
    ("57014", "it took too long"),
    ("57P", "it is shutting down or starting"),
    ("58", "its system has failed"),
    ("XX001", "it is damaged: restore it from a backup"),
    ("XX002", "it is damaged: restore it from a backup"),
)
_WHERE: Final = re.compile(r"(connection failed: )?connection to server (at|on) .*? failed: |^connection failed: ")
# The error of a commit, the end of its answers, and the Sync's answer.
_RESULTS_OF_AN_END: Final = 3
_GOOD: Final = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class Lost(Exception):
    """The connection cannot be used any more; what was under way on it may have been done or not."""


class Silent(Lost):
    """The server said nothing in time."""


class Failed(Exception):
    """The server refused a statement, and with it the whole exchange. `sqlstate` says why."""

    def __init__(self, text: str, sqlstate: str) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


def open_plainly(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection of the driver's own kind, for the schema. Raises `StoreError`."""
    try:
        values = {**_DEFAULTS, **conninfo_to_dict(url), "client_encoding": "utf8"}
        return psycopg.connect(**values, autocommit=True, prepare_threshold=None)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise StoreError("the database cannot be reached", first_line(error)) from error


def first_line(error: BaseException) -> str:
    """An error in one line, without where the server is and without details, which quote values: for logs."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return _WHERE.sub("", line)


def _meaning(error: Lost | Failed) -> str:
    """What an error says, in words of ours."""
    if isinstance(error, Silent):
        return "no answer in time"
    if isinstance(error, Lost):
        return "the connection broke"
    code = error.sqlstate
    return next((words for start, words in _MEANINGS if code.startswith(start)), "PostgreSQL reports " + code)


def _detail(error: Lost | Failed) -> str:
    """What a log may say of it: of a refused value no word of the server's, for it may be quoted there."""
    if isinstance(error, Failed):
        return error.sqlstate if error.sqlstate.startswith(_DATA_CLASSES) else error.sqlstate + " " + str(error)
    return str(error)


def read_failure(error: Lost | Failed) -> StoreError:
    """What a failed read means."""
    if isinstance(error, Failed) and error.sqlstate.startswith(_DATA_CLASSES):
        return BadData("the store refuses a value", _detail(error))
    return StoreError("the database cannot be read (" + _meaning(error) + ")", _detail(error))


def write_failure(error: Lost | Failed) -> StoreError:
    """What a failed commit means."""
    if isinstance(error, Failed) and error.sqlstate.startswith(_DATA_CLASSES):
        return BadData("the store refuses a value", _detail(error))
    if isinstance(error, Failed) and error.sqlstate == _FENCED:
        return OutcomeUnknown(str(error))
    if isinstance(error, Failed) and error.sqlstate == _MOVED:
        return StoreError(str(error))
    return OutcomeUnknown("the database cannot be written (" + _meaning(error) + ")", _detail(error))


class Connection:
    """An open connection. Raises `StoreError` when there can be none."""

    def __init__(self, url: str) -> None:
        self._driver = open_plainly(url)
        self._server: pq.abc.PGconn = self._driver.pgconn
        self._server.nonblocking = 1
        self._server.enter_pipeline_mode()
        self._rows = Transformer(self._driver)
        self._poll = select.poll()
        self._in_use = False

    @property
    def usable(self) -> bool:
        """Whether it can be used again."""
        return not self._in_use and self._server.status == pq.ConnStatus.OK

    def exchange(self, calls: Sequence[Call], limit_s: float) -> list[list[Any]]:
        """Carry out statements in one transaction; the rows of each, as tuples. Raises `Lost`, `Silent` or `Failed`."""
        # While this is set the connection is not fit for others, whatever ends this call.
        self._in_use = True
        deadline = time.monotonic() + limit_s
        try:
            for call in calls:
                self._server.send_query_params(call.sql, call.parameters)
                self._flush(deadline, wait=False)
            self._server.pipeline_sync()
            self._flush(deadline, wait=True)
            answers, failure = self._answers(len(calls), deadline)
        except psycopg.Error as error:
            raise Lost(first_line(error)) from error
        except TimeoutError as error:
            self._cancel()
            raise Silent(str(error)) from error
        self._in_use = False
        if failure is not None:
            refusal = error_from_result(failure)
            raise Failed(first_line(refusal), refusal.sqlstate or "") from refusal
        return answers

    def _flush(self, deadline: float, *, wait: bool) -> None:
        """Send what the system takes now, or with `wait` all. What comes is read, or both sides would wait."""
        while self._server.flush():
            ready = self._wait(deadline, select.POLLIN | select.POLLOUT)
            if ready & ~select.POLLOUT:
                self._server.consume_input()
            if not wait:
                return

    def _answers(self, count: int, deadline: float) -> tuple[list[list[Any]], pq.abc.PGresult | None]:
        """The rows of so many statements, and the first failure."""
        answers: list[list[Any]] = []
        failure: pq.abc.PGresult | None = None
        for _ in range(count):
            result = self._result(deadline)
            if result is None:
                raise psycopg.OperationalError("the server closed the connection")
            if result.status not in _GOOD:
                if failure is None:
                    failure = result
            elif result.status == pq.ExecStatus.TUPLES_OK:
                self._rows.set_pgresult(result)
                answers.append(self._rows.load_rows(0, result.ntuples, tuple))
            else:
                answers.append([])
            self._result(deadline)  # the end of this statement's answers
        late = self._end(deadline)
        return answers, failure or late

    def _end(self, deadline: float) -> pq.abc.PGresult | None:
        """Wait until the server has ended the transaction; its failure when it could not be committed after all.

        Only the Sync's own answer tells that. In its place an error may come, and after that nothing at all.
        """
        failure: pq.abc.PGresult | None = None
        for _ in range(_RESULTS_OF_AN_END):
            result = self._result(deadline)
            if result is not None and result.status == pq.ExecStatus.PIPELINE_SYNC:
                return failure
            failure = failure or result
        raise psycopg.OperationalError("the server did not say how it ended")

    def _result(self, deadline: float) -> pq.abc.PGresult | None:
        while self._server.is_busy():
            self._wait(deadline, select.POLLIN)
            self._server.consume_input()
        return self._server.get_result()

    def _wait(self, deadline: float, events: int) -> int:
        socket = self._server.socket
        self._poll.register(socket, events)
        ready = self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            raise TimeoutError("no answer in time")
        return ready[0][1]

    def _cancel(self) -> None:
        """Ask the server to stop what took too long; nobody waits for it any more."""
        with suppress(psycopg.Error):  # it may be as deaf to this
            self._driver.cancel_safe(timeout=1)

    def close(self) -> None:
        """Close; what is under way is rolled back."""
        self._driver.close()
