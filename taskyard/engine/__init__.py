"""The turn: facts, state, time and randomness in; a plan out. Plain synchronous code without I/O."""
