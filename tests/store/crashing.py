"""A process that commits plans until it dies: `python -m tests.store.crashing DIRECTORY [STATEMENT]`.

Prints a plan's number once it is committed. With STATEMENT it exits hard in its second plan before that statement (the
one after the last is the COMMIT's); without, it goes on until it is killed.
"""

import itertools
import os
import sys

from taskyard.engine.plan import Plan
from taskyard.engine.rows import AuditRow
from taskyard.store.connection import Connection
from taskyard.store.sqlite import SqliteStore
from tests.store.making import T0, ended_task, new_task, plan, queue_row, stat_row, tid

TASKS = 20


def numbers(turn):
    return range(turn * TASKS, (turn + 1) * TASKS)


def work(turn):
    """One turn: tasks arrive, and those of the turn before end. Its rows go to eight tables."""
    return plan(
        tasks=[new_task(n) for n in numbers(turn)],
        payloads=[(tid(n), "x" * 2000) for n in numbers(turn)],
        unqueued=[(tid(n),) for n in numbers(turn - 1)] if turn else [],
        queued=[queue_row(n) for n in numbers(turn)],
        ended=[ended_task(n) for n in numbers(turn - 1)] if turn else [],
        results=[(tid(n), "{}") for n in numbers(turn - 1)] if turn else [],
        stats=[stat_row(created=TASKS)],
        settings=[("turn", str(turn))],
        audit=[AuditRow(T0, "ann", "turn", str(turn), None)],
    )


class Deadly(Connection):
    """A port that ends the process before a statement. Reads count too: the last ones stand before the COMMIT."""

    left = -1

    def change_each(self, statement, rows):
        self.count()
        super().change_each(statement, rows)

    def rows(self, statement, values=()):
        self.count()
        return super().rows(statement, values)

    def count(self):
        Deadly.left -= 1
        if Deadly.left == 0:
            os._exit(9)


def main():
    store = SqliteStore(sys.argv[1], connect=Deadly)
    for turn in itertools.count():
        if turn == 1 and len(sys.argv) > 2:
            Deadly.left = int(sys.argv[2])
        made: Plan = work(turn)
        made.payloads = [tid(turn * TASKS)]
        store.commit(made)
        print(turn, flush=True)
        if turn == 1 and len(sys.argv) > 2:
            sys.exit("the statement was never reached")


if __name__ == "__main__":
    main()
