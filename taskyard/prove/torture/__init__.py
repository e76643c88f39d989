"""The torture: a real node, real clients and backends, and what happens to machines; programs of its own judge it."""
