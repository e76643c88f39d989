"""The deterministic simulation: the real engine and the real store in virtual time, and an oracle that judges them."""
