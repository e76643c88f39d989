-- What a move asks of a SQLite file. What stands in braces is filled in with names out of the schema.

-- tables --
-- The tables.
SELECT m.name FROM sqlite_schema AS m WHERE m.type = 'table' ORDER BY m.name;

-- columns --
-- The columns of a table, and the place of each in the primary key, from 1; 0: it is none of it.
SELECT c.name, c.pk FROM pragma_table_info(?) AS c ORDER BY c.cid;

-- read --
-- A table in the order of its key.
SELECT {columns} FROM {table} ORDER BY {key};

-- read_on --
-- What comes behind a key.
SELECT {columns} FROM {table} WHERE ({key}) > ({values}) ORDER BY {key};

-- whole --
-- A table as it is, for the comparison.
SELECT * FROM {table} ORDER BY {key};

-- count --
-- How many rows there are.
SELECT count(*) FROM {table};

-- put --
-- A row.
INSERT INTO {table} ({columns}) VALUES ({values});

-- make_mark --
-- Where the mark of a move into this file stands.
CREATE TABLE move (mark TEXT NOT NULL) STRICT;

-- first_mark --
-- The mark at the beginning.
INSERT INTO move (mark) VALUES (?);

-- read_mark --
-- The mark.
SELECT m.mark FROM move AS m;

-- set_mark --
-- How far the move is.
UPDATE move SET mark = ?;

-- drop_mark --
-- The end of the move.
DROP TABLE IF EXISTS move;

-- sealed --
-- The encrypted apiKeys.
SELECT s.id, s.api_key FROM server AS s WHERE s.api_key IS NOT NULL;

-- live --
-- How many tasks wait, how many run, and how many of these were accepted.
SELECT
    (SELECT count(*) FROM queue), (SELECT count(*) FROM run AS r WHERE r.linger_until IS NULL),
    (SELECT count(*) FROM run AS r WHERE r.linger_until IS NULL AND r.accepted = 1);
