-- The only ways by which rows of a log go: checked functions that act as the owner. What is past its term is
-- decided here, by the rules and holds of this moment, whatever the caller takes for expired; the time of now is
-- the caller's, as everywhere. Nothing of TimescaleDB is named but in texts: without it, rows go one by one.

-- What retention has to know of a log: its time and id, the level of a row, and what names a user or a resource.
CREATE FUNCTION retention_log(
    p_log TEXT, OUT time_column TEXT, OUT id_column TEXT, OUT level TEXT, OUT levels TEXT[],
    OUT users TEXT[], OUT resources TEXT[]
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $log$
BEGIN
    SELECT known.time_column, known.id_column, known.level, known.levels, known.users, known.resources
    INTO time_column, id_column, level, levels, users, resources
    FROM (VALUES
        ('audit_logs', 'created_at', 'audit_id', '''user_actions''', ARRAY['user_actions'],
            ARRAY['r.user_id'], ARRAY['lower(r.resource_id)', 'r.workspace_id', 'r.folder_id']),
        ('data_change_history', 'changed_at', 'change_id', '''data_changes''', ARRAY['data_changes'],
            ARRAY['r.changed_by'], ARRAY['r.record_id']),
        ('execution_logs', 'created_at', 'log_id',
            'CASE WHEN r.execution_type IN (''job'', ''jobpackage'') THEN r.execution_type ELSE ''workflow'' END',
            ARRAY['workflow', 'job', 'jobpackage'],
            ARRAY['r.triggered_by', 'r.recorded_by'], ARRAY['r.workflow_id', 'r.job_id', 'r.jobpackage_id']),
        ('node_execution_logs', 'created_at', 'log_id', '''node''', ARRAY['node'],
            ARRAY['r.triggered_by', 'r.recorded_by'], ARRAY['r.workflow_id', 'r.job_id', 'r.jobpackage_id']),
        -- The path of a resource is /v1/subscriptions/{subscription_id}/{collection}/{resource_id}.
        ('server_logs', 'created_at', 'log_id', '''server''', ARRAY['server'],
            ARRAY['r.user_id'], ARRAY['split_part(lower(r.endpoint), ''/'', 6)'])
    ) AS known (log, time_column, id_column, level, levels, users, resources)
    WHERE known.log = p_log;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is no log that retention knows', p_log USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$log$;

-- The instant before which rows may go, NULL where they are kept for good: a subscription's own rule, or else the
-- one for all.
CREATE FUNCTION retention_cutoff(p_level TEXT, p_subscription_id UUID, p_at TIMESTAMP WITH TIME ZONE)
RETURNS TIMESTAMP WITH TIME ZONE LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $cutoff$
SELECT p_at - make_interval(hours => 24 * keep_days) FROM public.retention_policies
WHERE level = p_level AND (subscription_id = p_subscription_id OR subscription_id IS NULL)
ORDER BY subscription_id NULLS LAST LIMIT 1
$cutoff$;

-- What is held at an instant, of one subscription or of all: the whole of it, a user, or a resource and each that lies
-- or lay below it, also where that is gone for good. By indexes: there are many steps, and most find nothing.
CREATE FUNCTION retention_held(p_subscription_id UUID, p_at TIMESTAMP WITH TIME ZONE)
RETURNS TABLE (hold_id UUID, subscription_id UUID, scope TEXT, id TEXT)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_nestloop = on AS $held$
WITH RECURSIVE running AS (
    SELECT holds.* FROM public.legal_holds AS holds
    WHERE holds.released_at IS NULL AND (holds.until IS NULL OR holds.until > p_at)
    AND (p_subscription_id IS NULL OR holds.subscription_id = p_subscription_id)
), tree (hold_id, subscription_id, id) AS (
    SELECT running.hold_id, running.subscription_id, running.resource_id FROM running
    WHERE running.resource_id IS NOT NULL
    UNION
    SELECT running.hold_id, running.subscription_id, moves.resource_id
    FROM running JOIN public.legal_hold_moves AS moves ON moves.hold_id = running.hold_id
    UNION
    SELECT tree.hold_id, tree.subscription_id, below.id FROM tree CROSS JOIN LATERAL (
        SELECT folders.folder_id FROM public.folders
        WHERE folders.workspace_id = tree.id AND folders.subscription_id = tree.subscription_id
        UNION ALL SELECT folders.folder_id FROM public.folders
        WHERE folders.parent_folder_id = tree.id AND folders.subscription_id = tree.subscription_id
        UNION ALL SELECT connectors.connector_id FROM public.connectors
        WHERE connectors.workspace_id = tree.id AND connectors.subscription_id = tree.subscription_id
        UNION ALL SELECT jobs.job_id FROM public.jobs
        WHERE jobs.folder_id = tree.id AND jobs.subscription_id = tree.subscription_id
        UNION ALL SELECT jobpackages.jobpackage_id FROM public.jobpackages
        WHERE jobpackages.folder_id = tree.id AND jobpackages.subscription_id = tree.subscription_id
        UNION ALL SELECT workflows.workflow_id FROM public.workflows
        WHERE workflows.job_id = tree.id AND workflows.subscription_id = tree.subscription_id
        UNION ALL SELECT deletion_logs.resource_id FROM public.deletion_logs
        WHERE deletion_logs.subscription_id = tree.subscription_id AND deletion_logs.parent_resource_id = tree.id
    ) AS below (id)
)
SELECT running.hold_id, running.subscription_id, 'subscription', NULL FROM running
WHERE running.resource_id IS NULL AND running.user_id IS NULL
UNION ALL SELECT running.hold_id, running.subscription_id, 'user', running.user_id::text FROM running
WHERE running.user_id IS NOT NULL
UNION ALL SELECT tree.hold_id, tree.subscription_id, 'resource', tree.id::text FROM tree
$held$;

-- Which rows `r` of a log a caller asks for, as the text of a condition: those of a level, of the subscription $1, or
-- where that is NULL of all that have no rule of their own, from $2 until before $3. Raises where one of them may
-- be within its term.
CREATE FUNCTION retention_window(
    p_log TEXT, p_level TEXT, p_subscription_id UUID, p_until TIMESTAMP WITH TIME ZONE, p_at TIMESTAMP WITH TIME ZONE
) RETURNS TEXT LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $window$
DECLARE
    v_log RECORD := public.retention_log(p_log);
    v_cutoff TIMESTAMP WITH TIME ZONE := public.retention_cutoff(p_level, p_subscription_id, p_at);
BEGIN
    IF p_level <> ALL (v_log.levels) THEN
        RAISE EXCEPTION '% has no rows of the level %', p_log, p_level USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF v_cutoff IS NULL OR p_until IS NULL OR p_until > v_cutoff THEN
        RAISE EXCEPTION 'rows of the level % in % are kept: they may go before %, not %',
            p_level, p_log, coalesce(v_cutoff::text, 'no instant'), p_until
            USING ERRCODE = 'RK001';
    END IF;
    RETURN format(
        'r.%I >= $2 AND r.%I < $3 AND %s = %L AND %s',
        v_log.time_column, v_log.time_column, v_log.level, p_level,
        CASE WHEN p_subscription_id IS NOT NULL THEN 'r.subscription_id = $1' ELSE format(
            '$1 IS NULL AND NOT EXISTS (SELECT FROM public.retention_policies AS own '
            'WHERE own.level = %L AND own.subscription_id = r.subscription_id)', p_level
        ) END
    );
END
$window$;

-- Whether a row `r` of a log is among the rows of `held`, as the text of a condition that is never NULL.
CREATE FUNCTION retention_is_held(p_log TEXT) RETURNS TEXT
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $is_held$
SELECT '((r.subscription_id IN (SELECT subscription_id FROM held WHERE scope = ''subscription'')) OR '
    || string_agg(format(
        '((r.subscription_id, %s::text) IN (SELECT subscription_id, id FROM held WHERE scope = %L))', named, scope
    ), ' OR ') || ') IS TRUE'
FROM public.retention_log(p_log) AS log
CROSS JOIN LATERAL (
    SELECT 'user', unnest(log.users) UNION ALL SELECT 'resource', unnest(log.resources)
) AS names (scope, named)
$is_held$;

-- Delete at most so many rows of the log whose row type `p_row` has, which are past their term and not held, and
-- return them: to be archived in the transaction in which they go. Each is found by its key: the planner would rather
-- read the whole log.
CREATE FUNCTION delete_expired(
    p_row ANYELEMENT, p_level TEXT, p_subscription_id UUID,
    p_from TIMESTAMP WITH TIME ZONE, p_until TIMESTAMP WITH TIME ZONE, p_at TIMESTAMP WITH TIME ZONE, p_limit INTEGER
) RETURNS SETOF ANYELEMENT LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms'
SET enable_hashjoin = off SET enable_mergejoin = off AS $delete$
DECLARE
    v_name TEXT;
    v_log RECORD;
    v_ids UUID[];
    v_times TIMESTAMP WITH TIME ZONE[];
    v_first TIMESTAMP WITH TIME ZONE;
    v_last TIMESTAMP WITH TIME ZONE;
BEGIN
    SELECT relname INTO v_name FROM pg_class
    WHERE reltype = pg_typeof(p_row) AND relnamespace = 'public'::regnamespace;
    v_log := public.retention_log(v_name);
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'at most 100,000 rows go at once, not %', p_limit
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- A hold or a rule that is made meanwhile waits until these rows are gone, and keeps what is left.
    LOCK TABLE public.retention_policies, public.legal_holds IN SHARE MODE;
    EXECUTE format(
        'WITH held AS MATERIALIZED (SELECT * FROM public.retention_held($1, $4)) '
        'SELECT array_agg(id), array_agg(at), min(at), max(at) FROM (SELECT r.%3$I, r.%2$I FROM public.%1$I AS r '
        'WHERE %4$s AND NOT (EXISTS (SELECT FROM held) AND %5$s) LIMIT $5) AS expired (id, at)',
        v_name, v_log.time_column, v_log.id_column,
        public.retention_window(v_name, p_level, p_subscription_id, p_until, p_at),
        public.retention_is_held(v_name)
    ) INTO v_ids, v_times, v_first, v_last USING p_subscription_id, p_from, p_until, p_at, p_limit;
    IF v_ids IS NOT NULL THEN
        RETURN QUERY EXECUTE format(
            'DELETE FROM public.%1$I AS r USING unnest($1, $2) AS expired (id, at) '
            'WHERE r.%3$I = expired.id AND r.%2$I = expired.at AND r.%2$I BETWEEN $3 AND $4 RETURNING r.*',
            v_name, v_log.time_column, v_log.id_column
        ) USING v_ids, v_times, v_first, v_last;
    END IF;
END
$delete$;

-- How many rows `delete_expired` would delete without a limit.
CREATE FUNCTION count_expired(
    p_log TEXT, p_level TEXT, p_subscription_id UUID,
    p_from TIMESTAMP WITH TIME ZONE, p_until TIMESTAMP WITH TIME ZONE, p_at TIMESTAMP WITH TIME ZONE
) RETURNS BIGINT LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $count$
DECLARE
    v_rows BIGINT;
BEGIN
    EXECUTE format(
        'WITH held AS MATERIALIZED (SELECT * FROM public.retention_held($1, $4)) '
        'SELECT count(*) FROM public.%I AS r WHERE %s AND NOT (EXISTS (SELECT FROM held) AND %s)',
        p_log, public.retention_window(p_log, p_level, p_subscription_id, p_until, p_at),
        public.retention_is_held(p_log)
    ) INTO v_rows USING p_subscription_id, p_from, p_until, p_at;
    RETURN v_rows;
END
$count$;

-- How many rows past their term each hold keeps, and the oldest of them. By hash: thousands may be held, which the planner
-- does not know.
CREATE FUNCTION count_held(
    p_log TEXT, p_level TEXT, p_subscription_id UUID,
    p_from TIMESTAMP WITH TIME ZONE, p_until TIMESTAMP WITH TIME ZONE, p_at TIMESTAMP WITH TIME ZONE
) RETURNS TABLE (hold_id UUID, rows BIGINT, oldest TIMESTAMP WITH TIME ZONE)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $count$
DECLARE
    v_log RECORD := public.retention_log(p_log);
    v_window TEXT := public.retention_window(p_log, p_level, p_subscription_id, p_until, p_at);
BEGIN
    RETURN QUERY EXECUTE (
        SELECT format(
            'WITH held AS MATERIALIZED (SELECT * FROM public.retention_held($1, $4)) '
            'SELECT hold_id, count(*), min(created) FROM (%s) AS kept (hold_id, id, created) GROUP BY hold_id',
            string_agg(format(
                'SELECT held.hold_id, r.%I, r.%I FROM public.%I AS r JOIN held '
                'ON held.scope = %L AND held.subscription_id = r.subscription_id AND %s WHERE %s',
                v_log.id_column, v_log.time_column, p_log, names.scope,
                CASE WHEN names.named IS NULL THEN 'true' ELSE format('held.id = %s::text', names.named) END, v_window
            ), ' UNION ')
        )
        FROM (
            SELECT 'subscription', NULL
            UNION ALL SELECT 'user', unnest(v_log.users)
            UNION ALL SELECT 'resource', unnest(v_log.resources)
        ) AS names (scope, named)
    ) USING p_subscription_id, p_from, p_until, p_at;
END
$count$;

-- Whether any row in a span of a log has to stay, by the rule of its level and subscription or by a hold. Where all
-- terms have passed and nothing is held, no row is read.
CREATE FUNCTION log_keeps(
    p_log TEXT, p_from TIMESTAMP WITH TIME ZONE, p_until TIMESTAMP WITH TIME ZONE, p_at TIMESTAMP WITH TIME ZONE
) RETURNS BOOLEAN LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $keeps$
DECLARE
    v_log RECORD := public.retention_log(p_log);
    v_level TEXT;
    v_cutoff TIMESTAMP WITH TIME ZONE;
    v_keeps BOOLEAN;
BEGIN
    FOREACH v_level IN ARRAY v_log.levels LOOP
        v_cutoff := coalesce(public.retention_cutoff(v_level, NULL, p_at), '-infinity');
        IF v_cutoff < p_until THEN
            EXECUTE format(
                'SELECT EXISTS (SELECT FROM public.%I AS r WHERE r.%I >= $1 AND r.%I < $2 AND %s = $3 '
                'AND NOT EXISTS (SELECT FROM public.retention_policies AS own '
                'WHERE own.level = $3 AND own.subscription_id = r.subscription_id))',
                p_log, v_log.time_column, v_log.time_column, v_log.level
            ) INTO v_keeps USING greatest(p_from, v_cutoff), p_until, v_level;
            IF v_keeps THEN
                RETURN true;
            END IF;
        END IF;
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM public.retention_policies AS own CROSS JOIN LATERAL ('
            'SELECT FROM public.%1$I AS r WHERE r.subscription_id = own.subscription_id AND r.%2$I >= $1 '
            'AND r.%2$I >= coalesce(public.retention_cutoff($3, own.subscription_id, $4), ''-infinity'') '
            'AND r.%2$I < $2 AND %3$s = $3 LIMIT 1) AS kept '
            'WHERE own.level = $3 AND own.subscription_id IS NOT NULL '
            'AND (own.keep_days IS NULL OR public.retention_cutoff($3, own.subscription_id, $4) < $2))',
            p_log, v_log.time_column, v_log.level
        ) INTO v_keeps USING p_from, p_until, v_level, p_at;
        IF v_keeps THEN
            RETURN true;
        END IF;
    END LOOP;
    EXECUTE format(
        'WITH held AS MATERIALIZED (SELECT * FROM public.retention_held(NULL, $3)) '
        'SELECT EXISTS (SELECT FROM public.%I AS r WHERE r.%I >= $1 AND r.%I < $2 '
        'AND r.subscription_id = ANY (ARRAY(SELECT DISTINCT held.subscription_id FROM held)) AND %s)',
        p_log, v_log.time_column, v_log.time_column, public.retention_is_held(p_log)
    ) INTO v_keeps USING p_from, p_until, p_at;
    RETURN v_keeps;
END
$keeps$;

-- The chunks of a log, oldest first, with what the disk gets back and how many rows the planner thinks that each has;
-- none where it is a plain table.
CREATE FUNCTION log_chunks(p_log TEXT) RETURNS TABLE (
    range_start TIMESTAMP WITH TIME ZONE, range_end TIMESTAMP WITH TIME ZONE, bytes BIGINT, planned_rows BIGINT
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $chunks$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        RETURN QUERY EXECUTE
            'SELECT chunks.range_start, chunks.range_end, pg_total_relation_size(pg_class.oid), reltuples::bigint '
            'FROM timescaledb_information.chunks JOIN pg_class '
            'ON pg_class.oid = format(''%I.%I'', chunk_schema, chunk_name)::regclass '
            'WHERE hypertable_schema = ''public'' AND hypertable_name = $1 ORDER BY chunks.range_start'
            USING p_log;
    END IF;
END
$chunks$;

-- Drop the chunk of a log that has exactly that range, all of whose rows are past their term and not held. With the
-- number of rows that its archive has, it is counted first, while nobody can add to it.
CREATE FUNCTION drop_expired_chunk(
    p_log TEXT, p_from TIMESTAMP WITH TIME ZONE, p_until TIMESTAMP WITH TIME ZONE, p_at TIMESTAMP WITH TIME ZONE,
    p_archived BIGINT
) RETURNS VOID LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $drop$
DECLARE
    v_chunk TEXT;
    v_schema TEXT;
    v_rows BIGINT;
BEGIN
    PERFORM public.retention_log(p_log);
    LOCK TABLE public.retention_policies, public.legal_holds IN SHARE MODE;
    SELECT nspname INTO v_schema FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
    WHERE extname = 'timescaledb';
    IF FOUND THEN
        EXECUTE
            'SELECT format(''%I.%I'', chunk_schema, chunk_name) FROM timescaledb_information.chunks '
            'WHERE hypertable_schema = ''public'' AND hypertable_name = $1 AND range_start = $2 AND range_end = $3'
            INTO v_chunk USING p_log, p_from, p_until;
    END IF;
    IF v_chunk IS NULL THEN
        RAISE EXCEPTION '% has no chunk from % to %', p_log, p_from, p_until USING ERRCODE = 'no_data_found';
    END IF;
    -- Readers go on, writers wait: nothing is added between the look and the drop.
    EXECUTE format('LOCK TABLE %s IN SHARE MODE', v_chunk);
    IF public.log_keeps(p_log, p_from, p_until, p_at) THEN
        RAISE EXCEPTION 'the chunk of % from % to % has rows that are kept', p_log, p_from, p_until
            USING ERRCODE = 'RK001';
    END IF;
    IF p_archived IS NOT NULL THEN
        EXECUTE format('SELECT count(*) FROM %s', v_chunk) INTO v_rows;
        IF v_rows <> p_archived THEN
            RAISE EXCEPTION 'the chunk of % from % to % has changed since it was archived: % rows, not %',
                p_log, p_from, p_until, v_rows, p_archived USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;
    EXECUTE format('SELECT %I.drop_chunks($1::regclass, older_than => $2, newer_than => $3)', v_schema)
        USING 'public.' || p_log, p_until, p_from;
END
$drop$;

-- Those that are not granted below serve these functions only.
REVOKE EXECUTE ON FUNCTION
    retention_log(TEXT), retention_cutoff(TEXT, UUID, TIMESTAMP WITH TIME ZONE),
    retention_held(UUID, TIMESTAMP WITH TIME ZONE),
    retention_window(TEXT, TEXT, UUID, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE), retention_is_held(TEXT),
    delete_expired(
        ANYELEMENT, TEXT, UUID, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, INTEGER
    ),
    count_expired(TEXT, TEXT, UUID, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE),
    count_held(TEXT, TEXT, UUID, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE),
    log_keeps(TEXT, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE),
    log_chunks(TEXT),
    drop_expired_chunk(
        TEXT, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, BIGINT
    )
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    delete_expired(
        ANYELEMENT, TEXT, UUID, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, INTEGER
    ),
    count_expired(TEXT, TEXT, UUID, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE),
    count_held(TEXT, TEXT, UUID, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE),
    log_keeps(TEXT, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE),
    log_chunks(TEXT),
    drop_expired_chunk(
        TEXT, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, BIGINT
    )
TO annals_retention;
