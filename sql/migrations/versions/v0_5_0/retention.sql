-- The time by which a row expires is that of its arrival, so Annals itself adds no rows to expired chunks, and additions
-- are no longer noted. A chunk is archived and dropped in two transactions; see
-- docs/decisions/0044-expired-chunks-are-counted.md.

DROP FUNCTION drop_expired_chunk(TEXT, TIMESTAMPTZ, TIMESTAMPTZ, TIMESTAMPTZ, BIGINT, BIGINT);
DROP FUNCTION guard_chunk(TEXT, TIMESTAMPTZ, TIMESTAMPTZ);
-- With its triggers on chunks.
DROP FUNCTION note_late_write() CASCADE;
DROP TABLE late_writes;

-- Drop the chunk of a log with exactly this range. All of its rows have to be expired and not held. p_archived is the
-- number of rows in its archive, which has to be that of the chunk, or NULL without an archive.
CREATE FUNCTION drop_expired_chunk(
    p_log TEXT, p_from TIMESTAMP WITH TIME ZONE, p_until TIMESTAMP WITH TIME ZONE, p_at TIMESTAMP WITH TIME ZONE,
    p_archived BIGINT
) RETURNS VOID LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $drop$
DECLARE
    v_name TEXT := public.log_chunk(p_log, p_from, p_until);
    v_schema TEXT;
    v_rules TEXT := public.retention_rules(NULL);
    v_rows BIGINT;
BEGIN
    -- Readers go on, and nothing is added while rows are searched and counted. Only a program that adds rows of an
    -- expired time in SQL waits.
    PERFORM public.lock_chunk(v_name, 'SHARE');
    IF public.log_keeps(p_log, p_from, p_until, p_at) THEN
        RAISE EXCEPTION 'the chunk of % from % to % has rows that are kept', p_log, p_from, p_until
            USING ERRCODE = 'RK001';
    END IF;
    IF p_archived IS NOT NULL THEN
        EXECUTE format('SELECT count(*) FROM %s', v_name) INTO v_rows;
        IF v_rows <> p_archived THEN
            RAISE EXCEPTION 'the chunk of % from % to % has % rows, and its archive %',
                p_log, p_from, p_until, v_rows, p_archived USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;
    -- From here on others wait: at most 30 ms for the rules and 50 ms for the chunk.
    PERFORM public.keep_rules(v_rules);
    PERFORM public.lock_chunk(v_name, 'ACCESS EXCLUSIVE');
    SELECT nspname INTO STRICT v_schema FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
    WHERE extname = 'timescaledb';
    EXECUTE format('SELECT %I.drop_chunks($1::regclass, older_than => $2, newer_than => $3)', v_schema)
        USING 'public.' || p_log, p_until, p_from;
END
$drop$;

REVOKE EXECUTE ON FUNCTION drop_expired_chunk FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_expired_chunk TO annals_retention;
