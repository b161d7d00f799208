-- Nobody waits while rows of logs are archived, counted or looked at on their way out. What that relies on may change
-- meanwhile: it is compared at the end, under locks of a moment, and where it has changed nothing goes.

-- The transactions that added to a chunk since it was guarded, by the numbers that PostgreSQL gives both. The owner's alone.
CREATE TABLE late_writes (
    chunk BIGINT NOT NULL,
    written_by BIGINT NOT NULL,
    CONSTRAINT pk_late_writes PRIMARY KEY (chunk, written_by)
);

-- The rules by which a transaction found rows to delete, until it ends. The owner's alone.
CREATE UNLOGGED TABLE rules_seen (
    seen_by BIGINT NOT NULL,
    rules TEXT NOT NULL,
    CONSTRAINT pk_rules_seen PRIMARY KEY (seen_by, rules)
);

-- What the rules of retention and the holds are at this moment for one subscription, or for all, and what was moved into
-- or out of what is held: another text after any change of them. It begins with whose they are.
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
    -- To which rows are only added while a hold runs.
    SELECT holds.hold_id || ' ' || count(*) FROM public.legal_holds AS holds
    JOIN public.legal_hold_moves AS moves ON moves.hold_id = holds.hold_id
    WHERE holds.released_at IS NULL AND (p_subscription_id IS NULL OR holds.subscription_id = p_subscription_id)
    GROUP BY holds.hold_id
) AS rules (rule)
$rules$;

-- Raises where the rules are not those any more, or are being changed; else they stay until the transaction ends.
CREATE FUNCTION keep_rules(p_rules TEXT) RETURNS VOID LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10ms' AS $keep$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- It would not see what was changed.
        RAISE EXCEPTION 'rows go in transactions that are read committed' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    -- One after the other, each no longer than that.
    LOCK TABLE public.legal_hold_moves, public.legal_holds, public.retention_policies IN SHARE MODE;
    IF public.retention_rules(nullif(split_part(p_rules, ' ', 1), 'all')::uuid) <> p_rules THEN
        RAISE EXCEPTION 'a rule or a hold was changed meanwhile' USING ERRCODE = 'lock_not_available';
    END IF;
END
$keep$;

-- At COMMIT: a hold or a rule that was made since rows were found to go keeps them, and is never waited with for long.
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

-- As 0007 has it, but for the rules: noted, and compared at COMMIT, instead of locked from here on.
CREATE OR REPLACE FUNCTION delete_expired(
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

-- Of a row that is added to a chunk which is guarded.
CREATE FUNCTION note_late_write() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $note$
BEGIN
    INSERT INTO public.late_writes (chunk, written_by)
    VALUES (TG_RELID::bigint, pg_current_xact_id()::text::bigint) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$note$;

-- The name of the chunk of a log that has exactly that range; raises where there is none.
CREATE FUNCTION log_chunk(p_log TEXT, p_from TIMESTAMP WITH TIME ZONE, p_until TIMESTAMP WITH TIME ZONE)
RETURNS TEXT LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $chunk$
DECLARE
    v_name TEXT;
BEGIN
    PERFORM public.retention_log(p_log);
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        EXECUTE
            'SELECT format(''%I.%I'', chunk_schema, chunk_name) FROM timescaledb_information.chunks '
            'WHERE hypertable_schema = ''public'' AND hypertable_name = $1 AND range_start = $2 AND range_end = $3'
            INTO v_name USING p_log, p_from, p_until;
    END IF;
    IF v_name IS NULL THEN
        RAISE EXCEPTION '% has no chunk from % to %', p_log, p_from, p_until USING ERRCODE = 'no_data_found';
    END IF;
    RETURN v_name;
END
$chunk$;

-- Lock a chunk; raises as `log_chunk` does where somebody else drops it meanwhile.
CREATE FUNCTION lock_chunk(p_name TEXT, p_mode TEXT) RETURNS REGCLASS LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $lock$
BEGIN
    EXECUTE format('LOCK TABLE %s IN %s MODE', p_name, p_mode);
    RETURN p_name::regclass;
EXCEPTION WHEN undefined_table THEN
    RAISE EXCEPTION 'the chunk % was dropped meanwhile', p_name USING ERRCODE = 'no_data_found';
END
$lock$;

-- Have it noted from now on who adds to a chunk, and say which chunk it is and how many did before: what is committed by
-- then, and no more, is what a transaction sees that begins afterwards and is not late. Who writes to it does so as ever.
CREATE FUNCTION guard_chunk(
    p_log TEXT, p_from TIMESTAMP WITH TIME ZONE, p_until TIMESTAMP WITH TIME ZONE,
    OUT chunk BIGINT, OUT late_writes BIGINT
) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $guard$
DECLARE
    -- Nobody has rows in it that are not committed.
    v_chunk REGCLASS := public.lock_chunk(public.log_chunk(p_log, p_from, p_until), 'SHARE ROW EXCLUSIVE');
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = v_chunk AND tgname = 'note_late_write') THEN
        EXECUTE format(
            'CREATE TRIGGER note_late_write AFTER INSERT ON %s FOR EACH ROW '
            'EXECUTE FUNCTION public.note_late_write()',
            v_chunk
        );
    END IF;
    chunk := v_chunk::oid::bigint;
    late_writes := (SELECT count(*) FROM public.late_writes AS noted WHERE noted.chunk = v_chunk::oid::bigint);
END
$guard$;

DROP FUNCTION drop_expired_chunk(
    TEXT, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, BIGINT
);

-- Drop the chunk of a log that has exactly that range, all of whose rows are past their term and not held, and to which
-- nobody has added since it was guarded and so many had. Another may have been dropped, and this one made, since then.
CREATE FUNCTION drop_expired_chunk(
    p_log TEXT, p_from TIMESTAMP WITH TIME ZONE, p_until TIMESTAMP WITH TIME ZONE, p_at TIMESTAMP WITH TIME ZONE,
    p_chunk BIGINT, p_late_writes BIGINT
) RETURNS VOID LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $drop$
DECLARE
    v_name TEXT := public.log_chunk(p_log, p_from, p_until);
    v_chunk REGCLASS;
    v_schema TEXT;
    v_rules TEXT := public.retention_rules(NULL);
BEGIN
    IF public.log_keeps(p_log, p_from, p_until, p_at) THEN
        RAISE EXCEPTION 'the chunk of % from % to % has rows that are kept', p_log, p_from, p_until
            USING ERRCODE = 'RK001';
    END IF;
    -- From here on others wait: for the rules 30 ms and for the chunk 50, at the very most.
    PERFORM public.keep_rules(v_rules);
    v_chunk := public.lock_chunk(v_name, 'ACCESS EXCLUSIVE');
    IF p_chunk IS DISTINCT FROM v_chunk::oid::bigint
        OR NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = v_chunk AND tgname = 'note_late_write')
        OR p_late_writes IS DISTINCT FROM (
            SELECT count(*) FROM public.late_writes AS noted WHERE noted.chunk = v_chunk::oid::bigint
        )
    THEN
        RAISE EXCEPTION 'the chunk of % from % to % was written to since it was guarded', p_log, p_from, p_until
            USING ERRCODE = 'serialization_failure';
    END IF;
    DELETE FROM public.late_writes WHERE chunk = v_chunk::oid::bigint;
    SELECT nspname INTO STRICT v_schema FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
    WHERE extname = 'timescaledb';
    EXECUTE format('SELECT %I.drop_chunks($1::regclass, older_than => $2, newer_than => $3)', v_schema)
        USING 'public.' || p_log, p_until, p_from;
END
$drop$;

-- Those that are not granted below serve these functions only.
REVOKE EXECUTE ON FUNCTION
    retention_rules(UUID), keep_rules(TEXT), check_rules_seen(), note_late_write(),
    log_chunk(TEXT, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE), lock_chunk(TEXT, TEXT),
    guard_chunk(TEXT, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE),
    drop_expired_chunk(
        TEXT, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, BIGINT, BIGINT
    )
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    guard_chunk(TEXT, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE),
    drop_expired_chunk(
        TEXT, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE, BIGINT, BIGINT
    )
TO annals_retention;
