"""The report of `taskyard prove`, as data, as text and as one page. Knows nothing of how its parts were tried."""
