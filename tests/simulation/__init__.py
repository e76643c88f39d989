"""The simulation of `taskyard.prove` as a test: every seed keeps every promise, and its oracle finds every mutant."""
