-- Nothing is taken in while a database is moved elsewhere, nor after that: a node that started in the very moment in
-- which the move began has not seen its mark.

-- Fail when the database is marked by a move.
CREATE FUNCTION check_place() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM yard WHERE name = 'move') THEN
        RAISE EXCEPTION 'the tasks of this database are moved elsewhere: stop this node' USING ERRCODE = 'TY003';
    END IF;
END $$;

-- The beginning of what a node takes in: on disk when it is committed, whatever the server's default is. Who sets a
-- mark waits for what was begun before, and what is begun after that sees it.
CREATE OR REPLACE FUNCTION begin_taking() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(lock_key('taking'));
    PERFORM check_place();
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM go_by_index();
END $$;
