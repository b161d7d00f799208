-- Take rows from the queue and give each the next position of its subscription, in the order of the queue.
-- Returns how many were taken, and how many got a position.
-- Beside the first rows of all, the first ones of each subscription are taken: one that adds a million rows at once
-- would keep those of the others waiting. Both are beginnings of a subscription's part of the queue, and so is their
-- union.
WITH RECURSIVE waiting AS (
    (SELECT subscription_id, queued FROM log_queue ORDER BY subscription_id, queued LIMIT 1)
    UNION ALL
    SELECT next.subscription_id, next.queued
    FROM waiting
    CROSS JOIN LATERAL (
        SELECT q.subscription_id, q.queued
        FROM log_queue AS q
        WHERE q.subscription_id > waiting.subscription_id
        ORDER BY q.subscription_id, q.queued
        LIMIT 1
    ) AS next
), of_each AS (
    SELECT first.queued
    FROM (SELECT subscription_id FROM waiting ORDER BY queued LIMIT :limit) AS served
    CROSS JOIN LATERAL (
        SELECT q.queued
        FROM log_queue AS q
        WHERE q.subscription_id = served.subscription_id
        ORDER BY q.subscription_id, q.queued
        LIMIT (SELECT greatest(1, :limit / count(*)) FROM waiting)
    ) AS first
), taken AS MATERIALIZED (
    DELETE FROM log_queue
    WHERE queued = ANY (ARRAY(
        (SELECT queued FROM log_queue ORDER BY queued LIMIT :limit)
        UNION ALL
        SELECT queued FROM of_each
    ))
    RETURNING *, log IN ('audit_logs', 'data_change_history') AS is_entry
), counted AS (
    SELECT
        subscription_id,
        count(*) FILTER (WHERE is_entry) AS entries,
        count(*) FILTER (WHERE NOT is_entry) AS batches
    FROM taken
    GROUP BY subscription_id
), grown AS (
    INSERT INTO log_trees AS t (subscription_id, size, batches)
    SELECT subscription_id, entries, batches FROM counted
    ON CONFLICT (subscription_id)
        DO UPDATE SET size = t.size + excluded.size, batches = t.batches + excluded.batches
    RETURNING t.subscription_id, t.size, t.batches
), numbered AS (
    SELECT
        taken.*,
        CASE WHEN is_entry THEN grown.size - counted.entries ELSE grown.batches - counted.batches END
            + row_number() OVER (PARTITION BY subscription_id, is_entry ORDER BY queued) - 1 AS position
    FROM taken JOIN counted USING (subscription_id) JOIN grown USING (subscription_id)
), entries AS (
    INSERT INTO log_entries (subscription_id, position, log, row_id, row_at, placed_at)
    SELECT subscription_id, position, log, first_id, first_at, :at FROM numbered WHERE is_entry
    RETURNING position
), batches AS (
    INSERT INTO log_batches (subscription_id, position, log, first_id, last_id, first_at, last_at, rows, placed_at)
    SELECT subscription_id, position, log, first_id, last_id, first_at, last_at, rows, :at
    FROM numbered
    WHERE NOT is_entry
    RETURNING position
)
SELECT
    (SELECT count(*) FROM taken),
    (SELECT count(*) FROM entries) + (SELECT count(*) FROM batches)
