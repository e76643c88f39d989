"""The oracle of the simulation: what was promised, worked out again from what was seen. It imports nothing of ours."""
