-- The sums of a server over some time are read in its own order: those over a day of all servers in a third of the time.

DROP INDEX server_load_by_time;

-- Sums of each server in some time, without a look at the table.
CREATE INDEX server_load_sums ON server_load (server_id, at, picks, completed, failed, run_ms);

-- The latest span at a start; the removal of old ones.
CREATE INDEX server_load_by_time ON server_load (at, server_id);
