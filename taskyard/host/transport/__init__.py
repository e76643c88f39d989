"""HTTP out: the port (`port`), its client (`client`) and the address policy (`address`). Knows nothing of tasks."""
