"""Many nodes on one store: who runs, what they take in for the decider, what it has for them. Decides nothing."""
