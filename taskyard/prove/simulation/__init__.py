"""The deterministic simulation: the real engine and the real store in virtual time, judged by the oracle beside it."""
