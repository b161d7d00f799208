-- Executions: one row for each execution_id whose first event lies in a time, with its version.
-- The parameters are told apart by the events that are seen (`seen_*`), and the begins that count (`begun_*`).
WITH seen AS (
    SELECT execution_id, execution_type, workflow_id, job_id, jobpackage_id, status, duration_ms, error_code,
        version_number, git_commit_hash, log_id, created_at,
        CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END AS happened_at
    FROM execution_logs
    WHERE subscription_id = :of_subscription AND created_at >= CAST(:arrived_since AS TIMESTAMPTZ)
        AND (CAST(:arrived_until AS TIMESTAMPTZ) IS NULL OR created_at <= :arrived_until)
        AND (CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END) >= CAST(:seen_since AS TIMESTAMPTZ)
        AND (CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END) <= CAST(:seen_until AS TIMESTAMPTZ)
        AND (CAST(:workflow_id AS UUID) IS NULL OR workflow_id = :workflow_id)
        AND (CAST(:job_id AS UUID) IS NULL OR job_id = :job_id)
        AND (CAST(:jobpackage_id AS UUID) IS NULL OR jobpackage_id = :jobpackage_id)
        AND (CAST(:execution_id AS TEXT) IS NULL OR execution_id = :execution_id)
        -- An execution that begins in a time has an event there, and one that ends in a status an event of it:
        -- the events of the others need not be sorted.
        AND (NOT CAST(:is_window AS BOOLEAN) OR execution_id IN (
            SELECT execution_id
            FROM execution_logs
            WHERE subscription_id = :of_subscription AND created_at >= CAST(:arrived_since AS TIMESTAMPTZ)
                AND (CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END)
                    >= CAST(:begun_since AS TIMESTAMPTZ)
                AND (CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END)
                    <= CAST(:begun_until AS TIMESTAMPTZ)
        ))
        AND (CAST(:ended_as AS TEXT) IS NULL OR execution_id IN (
            SELECT execution_id
            FROM execution_logs
            WHERE subscription_id = :of_subscription AND created_at >= CAST(:arrived_since AS TIMESTAMPTZ)
                AND status = :ended_as
        ))
),
grouped AS (
    SELECT execution_id, min(happened_at) AS begun_at, count(*) AS events,
        min(created_at) AS first_arrival, max(created_at) AS last_arrival,
        (array_agg(execution_type ORDER BY happened_at, log_id))[1] AS execution_type,
        (array_agg(workflow_id ORDER BY happened_at, log_id) FILTER (WHERE workflow_id IS NOT NULL))[1]
            AS workflow_id,
        (array_agg(job_id ORDER BY happened_at, log_id) FILTER (WHERE job_id IS NOT NULL))[1] AS job_id,
        (array_agg(jobpackage_id ORDER BY happened_at, log_id) FILTER (WHERE jobpackage_id IS NOT NULL))[1]
            AS jobpackage_id,
        (array_agg(status ORDER BY happened_at, log_id) FILTER (WHERE status IS NOT NULL))[count(status)]
            AS status,
        (array_agg(happened_at ORDER BY happened_at, log_id) FILTER (WHERE status IS NOT NULL))[count(status)]
            AS stated_at,
        (array_agg(duration_ms ORDER BY happened_at, log_id) FILTER (WHERE status IS NOT NULL))[count(status)]
            AS stated_ms,
        (array_agg(version_number ORDER BY happened_at, log_id)
            FILTER (WHERE version_number IS NOT NULL OR git_commit_hash IS NOT NULL))[1] AS named_number,
        (array_agg(git_commit_hash ORDER BY happened_at, log_id)
            FILTER (WHERE version_number IS NOT NULL OR git_commit_hash IS NOT NULL))[1] AS named_commit
    FROM seen
    GROUP BY execution_id
    HAVING min(happened_at) >= CAST(:begun_since AS TIMESTAMPTZ)
        AND min(happened_at) <= CAST(:begun_until AS TIMESTAMPTZ)
),
stated AS (
    SELECT *,
        coalesce(status IN ('success', 'failed', 'cancelled', 'skipped', 'timed_out'), false) AS has_ended,
        CASE execution_type WHEN 'workflow' THEN workflow_id WHEN 'job' THEN job_id ELSE jobpackage_id END
            AS resource_id
    FROM grouped
    WHERE CAST(:execution_type AS TEXT) IS NULL OR execution_type = :execution_type
),
chosen AS (
    SELECT execution_id, execution_type, workflow_id, job_id, jobpackage_id, resource_id, begun_at, events,
        first_arrival, last_arrival, status, has_ended, CASE WHEN has_ended THEN stated_at END AS ended_at,
        -- One event that tells no duration says nothing about it.
        CASE WHEN has_ended
            THEN coalesce(stated_ms, nullif(1000 * extract(epoch FROM stated_at - begun_at), 0))::DOUBLE PRECISION
        END AS duration_ms,
        named_number, named_commit
    FROM stated
    WHERE (CAST(:status AS TEXT) IS NULL
            OR CASE WHEN has_ended THEN status ELSE 'running' END = :status)
        AND (CAST(:before_time AS TIMESTAMPTZ) IS NULL
            OR (begun_at, execution_id) < (CAST(:before_time AS TIMESTAMPTZ), CAST(:before_id AS TEXT)))
    ORDER BY begun_at DESC, execution_id DESC
    -- Versions are looked up for these alone. No limit with a filter that needs them.
    LIMIT CAST(:most AS BIGINT)
),
executions AS (
    SELECT chosen.*,
        CASE WHEN named_number IS NULL AND named_commit IS NULL
            THEN published.version_number ELSE coalesce(named_number, named.version_number)
        END AS version_number,
        CASE WHEN named_number IS NULL AND named_commit IS NULL THEN published.git_commit_hash
            WHEN named_commit IS NULL OR left(named.git_commit_hash, length(named_commit)) = named_commit
            THEN named.git_commit_hash ELSE named_commit
        END AS git_commit_hash,
        CASE WHEN named_number IS NOT NULL OR named_commit IS NOT NULL THEN 'event'
            WHEN published.version_number IS NOT NULL THEN 'publication'
        END AS version_from
    FROM chosen
    LEFT JOIN LATERAL (
        SELECT version_number, git_commit_hash
        FROM versions
        WHERE subscription_id = :of_subscription AND resource_type = chosen.execution_type
            AND resource_id = chosen.resource_id
            AND version_number = coalesce(chosen.named_number, (
                SELECT max(made.version_number)
                FROM versions AS made
                WHERE made.subscription_id = :of_subscription AND made.resource_type = chosen.execution_type
                    AND made.resource_id = chosen.resource_id
                    AND left(made.git_commit_hash, length(chosen.named_commit)) = chosen.named_commit
            ))
    ) AS named ON chosen.named_number IS NOT NULL OR chosen.named_commit IS NOT NULL
    -- Publications of a resource do not overlap, so the last that had begun is the only one that can hold.
    LEFT JOIN LATERAL (
        SELECT versions.version_number, versions.git_commit_hash, last.unpublished_at
        FROM (
            SELECT version_id, unpublished_at
            FROM publications
            WHERE subscription_id = :of_subscription AND resource_id = chosen.resource_id
                AND resource_type = chosen.execution_type AND published_at <= chosen.begun_at
            ORDER BY published_at DESC
            LIMIT 1
        ) AS last
        JOIN versions ON versions.subscription_id = :of_subscription AND versions.version_id = last.version_id
    ) AS published ON chosen.named_number IS NULL AND chosen.named_commit IS NULL
        AND (published.unpublished_at IS NULL OR chosen.begun_at < published.unpublished_at)
)
