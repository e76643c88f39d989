"""Power loss: what a disk keeps when the power goes at any moment, and what the store makes of it."""
