"""A yard moved from a data directory into PostgreSQL, or back: all that is kept, tasks under way included."""
