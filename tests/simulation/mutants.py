"""All mutants, by name."""

from tests.simulation import (
    mutants_attempts,
    mutants_edge,
    mutants_nodes,
    mutants_queue,
    mutants_recovery,
    mutants_servers,
)
from tests.simulation.mutant import FOCUS, MUTANTS, NODES, ONLY, applied

__all__ = [
    "FOCUS",
    "MUTANTS",
    "NODES",
    "ONLY",
    "applied",
    "mutants_attempts",
    "mutants_edge",
    "mutants_nodes",
    "mutants_queue",
    "mutants_recovery",
    "mutants_servers",
]
