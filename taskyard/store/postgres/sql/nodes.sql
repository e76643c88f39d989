-- What nodes tell each other through the database. Lines of the inbox go to the decider, letters come from it.

-- node_beat --
-- A node lives. 1 when it was not known, or no longer.
INSERT INTO node (id, name, url, version, started_at, seen_at, epoch, draining, load, figures)
VALUES ($1, $2, $3, $4, $5::bigint, clock_timestamp(), $6::bigint, $7::bigint, $8::bigint, $9)
ON CONFLICT (id) DO UPDATE SET
    seen_at = excluded.seen_at, epoch = excluded.epoch, draining = excluded.draining, load = excluded.load,
    figures = excluded.figures, url = excluded.url
RETURNING (xmax = 0)::int;

-- check_place --
-- Fail when the database is moved elsewhere.
SELECT check_place();

-- nodes --
-- All nodes, each with the ms since it was last seen.
SELECT
    n.id, n.name, n.url, n.version, n.started_at, n.epoch, n.draining, n.load, n.figures,
    (extract(epoch FROM clock_timestamp() - n.seen_at) * 1000)::bigint
FROM node AS n;

-- decider --
-- Who decides by which epoch, '' for nobody, and the database's time in ms.
SELECT
    CASE WHEN b.expires_at > clock_timestamp() THEN l.node ELSE '' END, l.epoch,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM lease AS l JOIN lease_beat AS b ON b.name = l.name WHERE l.name = 'decider';

-- node_delete --
-- Nodes are gone.
DELETE FROM node WHERE id = ANY($1::text[]);

-- letters_drop --
-- Nobody will read the letters of nodes any more.
DELETE FROM letter WHERE node = ANY($1::text[]);

-- begin_taking --
-- The beginning of what a node takes in.
SELECT begin_taking();

-- key_claim --
-- Idempotency keys, unless they are taken; in the place of expired ones if need be.
INSERT INTO idempotency (owner, key, hash, task_id, created_at, expires_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
ON CONFLICT (owner, key) DO UPDATE SET
    hash = excluded.hash, task_id = excluded.task_id, created_at = excluded.created_at, expires_at = excluded.expires_at
WHERE idempotency.expires_at <= excluded.created_at;

-- prove_keys --
-- Fail unless the keys belong to these tasks.
SELECT prove_keys($1::text[], $2::text[], $3::text[]);

-- line_insert --
-- Lines for the decider.
INSERT INTO inbox (node, seq, kind, task_id, attempt, body)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[]);

-- lines --
-- The next lines of some nodes, each after a number, node by node: so many, of so many bytes, and one at least. Last how
-- many bytes come before.
SELECT w.node, w.seq, w.kind, w.task_id, w.attempt, w.body, w.before FROM (
    SELECT
        l.*, n.rank,
        sum(octet_length(l.body)) OVER (ORDER BY n.rank, l.seq ROWS UNBOUNDED PRECEDING) - octet_length(l.body) AS before
    FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS n (node, seq, rank) CROSS JOIN LATERAL (
        SELECT i.node, i.seq, i.kind, i.task_id, i.attempt, i.body FROM inbox AS i
        WHERE i.node = n.node AND i.seq > n.seq ORDER BY i.seq LIMIT $3::bigint
    ) AS l
    ORDER BY n.rank, l.seq LIMIT $3::bigint
) AS w
WHERE w.before < $4::bigint ORDER BY w.rank, w.seq;

-- line_writers --
-- The nodes that have lines.
SELECT DISTINCT i.node FROM inbox AS i;

-- line_ends --
-- The attempts whose end is on its way to the decider.
SELECT i.task_id, i.attempt FROM inbox AS i WHERE i.kind = 'Ended';

-- line_take --
-- Lines are taken, each for the first time, or the whole transaction fails.
SELECT take_lines($1::text[], $2::bigint[]);

-- letter_insert --
-- Letters for nodes, in this order.
INSERT INTO letter (node, kind, task_id, body)
SELECT c.node, c.kind, c.task_id, c.body
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS c (node, kind, task_id, body, place)
ORDER BY c.place;

-- letters_read --
-- A node has read its letters up to a number.
DELETE FROM letter WHERE node = $1 AND id <= $2::bigint;

-- letters --
-- A node's next letters after a number: so many, of so many bytes, and one at least.
SELECT w.id, w.kind, w.task_id, w.body FROM (
    SELECT p.*, sum(octet_length(p.body)) OVER (ORDER BY p.id ROWS UNBOUNDED PRECEDING) - octet_length(p.body) AS before
    FROM (
        SELECT l.id, l.kind, l.task_id, l.body FROM letter AS l
        WHERE l.node = $1 AND l.id > $2::bigint ORDER BY l.id LIMIT $3::bigint
    ) AS p
) AS w
WHERE w.before < $4::bigint ORDER BY w.id;

-- first_payloads --
-- The payloads of the first tasks of a list, in its order: of so many bytes, and one at least; NULL where there is none.
SELECT w.task_id, w.body FROM (
    SELECT
        n.task_id, p.body, n.place,
        sum(coalesce(octet_length(p.body), 0)) OVER (ORDER BY n.place) - coalesce(octet_length(p.body), 0) AS before
    FROM unnest($1::text[]) WITH ORDINALITY AS n (task_id, place)
    LEFT JOIN payload AS p ON p.task_id = n.task_id AND p.task_id = ANY($1::text[])
) AS w
WHERE w.before < $2::bigint ORDER BY w.place;

-- states --
-- How tasks stand: 0 waits, 1 runs, else the number of its end; and since when.
SELECT
    t.id,
    coalesce(e.status, CASE WHEN r.task_id IS NULL THEN 0 ELSE 1 END),
    coalesce(e.completed_at, r.started_at, q.updated_at, t.created_at)
FROM task AS t
LEFT JOIN ended AS e ON e.id = t.id AND e.id = ANY($1::text[])
LEFT JOIN queue AS q ON q.task_id = t.id
LEFT JOIN run AS r ON r.task_id = t.id AND r.linger_until IS NULL
WHERE t.id = ANY($1::text[]);

-- ends --
-- How tasks ended, with their results: of so many bytes, and one at least.
SELECT w.* FROM (
    SELECT
        e.*, b.body,
        sum(coalesce(octet_length(b.body), 0)) OVER (ORDER BY e.id) - coalesce(octet_length(b.body), 0) AS before
    FROM ended AS e LEFT JOIN result AS b ON b.task_id = e.id AND b.task_id = ANY($1::text[])
    WHERE e.id = ANY($1::text[])
) AS w
WHERE w.before < $2::bigint;
