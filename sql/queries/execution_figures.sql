-- Count the events of a type that happened in a day, and store the figures of each group.
-- Returns how many there are, and between which arrivals.
WITH happened AS (
    SELECT workflow_id, job_id, jobpackage_id, node_id, status, error_code, duration_ms, rows_processed, created_at,
        {bin} AS bin
    FROM {table}
    WHERE subscription_id = :of_subscription
        AND (CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END) >= CAST(:begin AS TIMESTAMPTZ)
        AND (CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END) < CAST(:end AS TIMESTAMPTZ)
        AND created_at >= CAST(:arrived_since AS TIMESTAMPTZ)
        AND execution_type = :execution_type
), binned AS (
    SELECT workflow_id, job_id, jobpackage_id, node_id, status, error_code, bin, count(*) AS events,
        sum(duration_ms) AS total_ms, max(duration_ms) AS max_ms, coalesce(sum(rows_processed), 0) AS rows_processed,
        min(created_at) AS first_arrival, max(created_at) AS last_arrival
    FROM happened
    GROUP BY workflow_id, job_id, jobpackage_id, node_id, status, error_code, bin
), grouped AS MATERIALIZED (
    SELECT workflow_id, job_id, jobpackage_id, node_id, status, error_code, sum(events) AS events,
        coalesce(sum(events) FILTER (WHERE bin IS NOT NULL), 0) AS durations,
        sum(total_ms) AS total_ms, max(max_ms) AS max_ms, sum(rows_processed) AS rows_processed,
        coalesce(array_agg(bin ORDER BY bin) FILTER (WHERE bin IS NOT NULL), '{{}}') AS bins,
        coalesce(array_agg(events::INTEGER ORDER BY bin) FILTER (WHERE bin IS NOT NULL), '{{}}') AS counts,
        min(first_arrival) AS first_arrival, max(last_arrival) AS last_arrival
    FROM binned
    GROUP BY workflow_id, job_id, jobpackage_id, node_id, status, error_code
), added AS (
    INSERT INTO execution_figures (subscription_id, day, execution_type, number, workflow_id, job_id, jobpackage_id,
        node_id, status, error_code, events, durations, total_ms, max_ms, rows_processed, bins, counts)
    SELECT :of_subscription, :day, :execution_type, row_number() OVER (), workflow_id, job_id, jobpackage_id,
        node_id, status, error_code, events, durations, total_ms, max_ms, rows_processed, bins, counts
    FROM grouped
)
SELECT coalesce(sum(events), 0)::BIGINT AS events, min(first_arrival) AS first_arrival,
    max(last_arrival) AS last_arrival
FROM grouped
