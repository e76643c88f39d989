-- Take lines of the inbox: fail unless all of them are there, for then a turn has had one of them already.
CREATE FUNCTION take_lines(nodes text[], seqs bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found bigint;
BEGIN
    WITH gone AS (
        DELETE FROM inbox AS i USING unnest(nodes, seqs) AS n (node, seq)
        WHERE i.node = n.node AND i.seq = n.seq RETURNING 1
    ) SELECT count(*) INTO found FROM gone;
    IF found <> cardinality(nodes) THEN
        RAISE EXCEPTION 'a line of the inbox was taken already' USING ERRCODE = 'TY001';
    END IF;
END $$;
