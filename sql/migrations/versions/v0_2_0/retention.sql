-- Deletion of expired rows. Checked functions, which act as the owner, are the only way to delete rows of a log. They
-- decide by the present rules and holds which rows are expired, whatever the caller believes. The caller gives the
-- present time, as everywhere.
--
-- Nobody waits while rows are archived, counted or searched. The rules may change meanwhile. So they are compared at
-- the end, under locks of a moment, and nothing is deleted if they have changed.

CREATE TABLE retention_policies (
    policy_id UUID NOT NULL,
    subscription_id UUID,
    level VARCHAR(20) NOT NULL,
    keep_days INTEGER,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_by VARCHAR(255) NOT NULL,
    CONSTRAINT pk_retention_policies PRIMARY KEY (policy_id),
    CONSTRAINT ck_retention_policies_level CHECK (
        level IN ('server', 'workflow', 'node', 'job', 'jobpackage', 'user_actions', 'data_changes')
    ),
    CONSTRAINT ck_retention_policies_keep_days CHECK (keep_days BETWEEN 1 AND 36500),
    CONSTRAINT fk_retention_policies_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE UNIQUE INDEX uq_retention_policies_platform ON retention_policies (level) WHERE subscription_id IS NULL;
CREATE UNIQUE INDEX uq_retention_policies_subscription_id_level ON retention_policies (subscription_id, level);

-- The rules by which a transaction found rows to delete, stored until the transaction ends.
CREATE UNLOGGED TABLE rules_seen (
    seen_by BIGINT NOT NULL,
    rules TEXT NOT NULL,
    CONSTRAINT pk_rules_seen PRIMARY KEY (seen_by, rules)
);

-- The specification's defaults. A level without a number of days is kept for good.
INSERT INTO retention_policies (policy_id, level, keep_days, changed_at, changed_by)
SELECT gen_random_uuid(), level, keep_days, TIMESTAMP WITH TIME ZONE '2026-01-01 00:00:00Z', 'system:default'
FROM (VALUES
    ('server', 90), ('workflow', 365), ('node', 90), ('job', 365), ('jobpackage', 365),
    ('user_actions', NULL::integer), ('data_changes', NULL)
) AS specified (level, keep_days);

-- The columns of a log that retention needs: its time and id, the level of a row, and the columns that name a user or
-- a resource.
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

-- The instant before which rows are expired, or NULL if they are kept for good. A subscription's own rule replaces the
-- rule for all.
CREATE FUNCTION retention_cutoff(p_level TEXT, p_subscription_id UUID, p_at TIMESTAMP WITH TIME ZONE)
RETURNS TIMESTAMP WITH TIME ZONE LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $cutoff$
SELECT p_at - make_interval(hours => 24 * keep_days) FROM public.retention_policies
WHERE level = p_level AND (subscription_id = p_subscription_id OR subscription_id IS NULL)
ORDER BY subscription_id NULLS LAST LIMIT 1
$cutoff$;

-- The condition, as a text, that a row `r` of a log is of a level, from $2 until before $3, and of the subscription $1.
-- If $1 is NULL, the row is of any subscription that has no rule of its own. Raises RK001 if such a row may be within
-- its term.
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

-- The condition, as a text, that a row `r` of a log is among the rows of `held`. It is never NULL.
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

-- A text that differs after any change of the retention policies, the legal holds or the noted moves, of one
-- subscription or of all. It begins with that subscription, or with `all`.
CREATE FUNCTION retention_rules(p_subscription_id UUID) RETURNS TEXT LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $rules$
SELECT coalesce(p_subscription_id::text, 'all') || ' '
    || md5(coalesce(string_agg(rule, E'\n' ORDER BY rule COLLATE "C"), ''))
FROM (
    SELECT policies::text FROM public.retention_policies AS policies
    WHERE p_subscription_id IS NULL OR subscription_id IS NULL OR subscription_id = p_subscription_id
    UNION ALL
    SELECT holds::text FROM public.legal_holds AS holds
    WHERE released_at IS NULL AND (p_subscription_id IS NULL OR subscription_id = p_subscription_id)
    UNION ALL
    -- A count is enough: while a hold runs, its moves are only added to.
    SELECT holds.hold_id || ' ' || count(*) FROM public.legal_holds AS holds
    JOIN public.legal_hold_moves AS moves ON moves.hold_id = holds.hold_id
    WHERE holds.released_at IS NULL AND (p_subscription_id IS NULL OR holds.subscription_id = p_subscription_id)
    GROUP BY holds.hold_id
) AS rules (rule)
$rules$;

-- Raise lock_not_available if the rules have changed since p_rules was read, or are being changed. Otherwise lock them
-- until the transaction ends.
CREATE FUNCTION keep_rules(p_rules TEXT) RETURNS VOID LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10ms' AS $keep$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- A snapshot from before would not show a change.
        RAISE EXCEPTION 'rows go in transactions that are read committed' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    -- One after the other, each wait no longer than lock_timeout.
    LOCK TABLE public.legal_hold_moves, public.legal_holds, public.retention_policies IN SHARE MODE;
    IF public.retention_rules(nullif(split_part(p_rules, ' ', 1), 'all')::uuid) <> p_rules THEN
        RAISE EXCEPTION 'a rule or a hold was changed meanwhile' USING ERRCODE = 'lock_not_available';
    END IF;
END
$keep$;

-- Compare the rules at COMMIT. So a hold or a rule that was made after the rows were found keeps these rows, and nobody
-- who makes a hold or a rule waits for long.
CREATE FUNCTION check_rules_seen() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $check$
BEGIN
    PERFORM public.keep_rules(NEW.rules);
    DELETE FROM public.rules_seen WHERE seen_by = NEW.seen_by AND rules = NEW.rules;
    RETURN NULL;
END
$check$;
CREATE CONSTRAINT TRIGGER check_rules_seen AFTER INSERT ON rules_seen
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_rules_seen();

-- Delete at most p_limit rows of the log whose row type `p_row` has, which are past their term and not held, and
-- return them: they are archived in the transaction that deletes them. The rules are noted here and compared at
-- COMMIT. Hash and merge joins are off, so that each row is found by its key: the planner would read the whole log.
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
    INSERT INTO public.rules_seen (seen_by, rules)
    VALUES (pg_current_xact_id()::text::bigint, public.retention_rules(p_subscription_id))
    ON CONFLICT DO NOTHING;
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

-- The number of rows that `delete_expired` would delete without a limit.
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

-- The number of expired rows that each hold keeps, and the time of the oldest. Nested loops are off: the planner does
-- not know that thousands of resources may be held, for which it has to use a hash.
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

-- True if any row in a span of a log is kept, by the rule of its level and subscription or by a hold. Where all terms
-- have passed and nothing is held, no row is read.
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
