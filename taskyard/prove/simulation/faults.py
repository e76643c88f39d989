"""The catalogue of faults: what can go wrong in a run, by name. `docs/guarantees.md` shows this table.

A fault can be left out of a run by its name, and so can each single occurrence that a script plans.
"""

from __future__ import annotations

from taskyard.prove.simulation.crashes import ARMED, Stage

# What a backend does with a task that it got; how often beside 100 plain successes, in a troubled yard.
BEHAVIOURS: dict[str, int] = {
    "fails_in_words": 6,
    "crashes": 6,
    "resets": 4,
    "is_cut_off": 3,
    "finds_it_wrong": 2,
    "declines": 6,
    "asks_to_wait": 5,
    "answers_rubbish": 4,
    "answers_unstorable": 1,
    "answers_timeout": 2,
    "hangs": 3,
    "is_late": 4,
    "calls_back": 40,
    "calls_back_with_progress": 6,
    "calls_back_early": 6,
    "calls_back_twice": 6,
    "calls_back_twice_otherwise": 3,
    "calls_back_failed": 5,
    "calls_back_timeout": 2,
    "calls_back_unstorable": 2,
    "calls_back_for_another": 4,
    "calls_back_for_the_next": 5,
    "hands_back": 3,
    "accepts_in_silence": 2,
}

# What happens to a machine, or is done to it by operators.
TO_MACHINES: tuple[str, ...] = (
    "outage",
    "refused_key",
    "flapping",
    "no_proof",
    "maintenance",
    "draining",
    "removal",
    "reregistration",
    "resizing",
    "lost_capabilities",
    "odd_heartbeat",
    "check_asked",
)

# What people do to tasks, and how they submit.
BY_PEOPLE: tuple[str, ...] = ("cancel", "retry", "verdict", "purge", "strangers", "repeated_keys", "unstorable_task")

# What happens to the node.
TO_THE_NODE: tuple[str, ...] = ("algorithm", "node_drain", "clock_step", "full_inbox", "retention")

# What happens to one of several nodes, or to its ways to the database, to backends and to other nodes.
TO_NODES: tuple[str, ...] = (
    "node_death",
    "node_freeze",
    "node_stop",
    "store_cut",
    "backends_cut",
    "nodes_cut",
    "store_outage",
    "lease_unkept",
)

# Where the node dies or its store fails.
CRASHES: dict[str, Stage] = {stage.name.lower(): stage for stage in ARMED}

# What is tried with one node alone: its edges, its inbox and its turns are the same beside others.
ONE_ALONE: tuple[str, ...] = (
    *("unstorable_task", "answers_unstorable", "calls_back_unstorable"),
    *("node_drain", "clock_step", "full_inbox"),
    *CRASHES,
)

FAULTS: frozenset[str] = frozenset({*BEHAVIOURS, *TO_MACHINES, *BY_PEOPLE, *TO_THE_NODE, *TO_NODES, *CRASHES})
