"""All mutants, by name."""

from tests.simulation import mutants_attempts, mutants_edge, mutants_queue, mutants_recovery, mutants_servers
from tests.simulation.mutant import MUTANTS, ONLY, applied

__all__ = [
    "MUTANTS",
    "ONLY",
    "applied",
    "mutants_attempts",
    "mutants_edge",
    "mutants_queue",
    "mutants_recovery",
    "mutants_servers",
]
