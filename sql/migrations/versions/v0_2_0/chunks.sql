-- Drop of expired chunks. TimescaleDB is named only in dynamic SQL, since it may be missing: then there are no chunks,
-- and rows are deleted in batches. A chunk is guarded, archived, and dropped in three transactions; see
-- docs/decisions/0021-compared-at-the-end.md.

-- The transactions that added to a chunk after it was guarded. A row has the oid of the chunk and the number of the
-- transaction.
CREATE TABLE late_writes (
    chunk BIGINT NOT NULL,
    written_by BIGINT NOT NULL,
    CONSTRAINT pk_late_writes PRIMARY KEY (chunk, written_by)
);

-- The chunks of a log, oldest first, each with its bytes on the disk and the planner's estimate of its rows. A plain
-- table has no chunks.
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

-- Note the transaction that adds a row to a guarded chunk.
CREATE FUNCTION note_late_write() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $note$
BEGIN
    INSERT INTO public.late_writes (chunk, written_by)
    VALUES (TG_RELID::bigint, pg_current_xact_id()::text::bigint) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$note$;

-- The name of the chunk of a log with exactly this range. Raises no_data_found if there is no such chunk.
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

-- Lock a chunk. Raises no_data_found, as `log_chunk` does, if another transaction drops the chunk meanwhile.
CREATE FUNCTION lock_chunk(p_name TEXT, p_mode TEXT) RETURNS REGCLASS LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $lock$
BEGIN
    EXECUTE format('LOCK TABLE %s IN %s MODE', p_name, p_mode);
    RETURN p_name::regclass;
EXCEPTION WHEN undefined_table THEN
    RAISE EXCEPTION 'the chunk % was dropped meanwhile', p_name USING ERRCODE = 'no_data_found';
END
$lock$;

-- Begin to note the transactions that add to a chunk. Returns the chunk's oid, and how many transactions were noted
-- before. A transaction that begins afterwards sees every row of the chunk, except for the rows of noted transactions.
-- Writers neither wait nor fail.
CREATE FUNCTION guard_chunk(
    p_log TEXT, p_from TIMESTAMP WITH TIME ZONE, p_until TIMESTAMP WITH TIME ZONE,
    OUT chunk BIGINT, OUT late_writes BIGINT
) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $guard$
DECLARE
    -- Under this lock no transaction has uncommitted rows in the chunk.
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

-- Drop the chunk of a log with exactly this range. All of its rows have to be expired and not held, and no
-- transaction may have added to it since `guard_chunk` returned p_chunk and p_late_writes. The oid p_chunk shows if the
-- guarded chunk was dropped and another chunk made in its place.
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
    -- From here on others wait: at most 30 ms for the rules and 50 ms for the chunk.
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
