-- TimescaleDB locks a log while it makes a chunk, until the transaction that needs the chunk ends. A stream of events may
-- be one transaction of minutes: so its chunks are made before, in a transaction of their own.

-- Make the chunk of a log for rows of an instant, if it is not there. A plain table has no chunks.
CREATE FUNCTION make_log_chunk(p_log TEXT, p_at TIMESTAMP WITH TIME ZONE) RETURNS VOID
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $make$
DECLARE
    v_id CONSTANT UUID := gen_random_uuid();
    v_is_there BOOLEAN;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        RETURN;
    END IF;
    EXECUTE
        'SELECT EXISTS (SELECT FROM timescaledb_information.chunks WHERE hypertable_schema = ''public'' '
        'AND hypertable_name = $1 AND $2 >= range_start AND $2 < range_end)'
        INTO v_is_there USING p_log, p_at;
    IF v_is_there THEN
        RETURN;
    END IF;
    -- The Apache edition of TimescaleDB makes a chunk for a row alone. Nobody sees this one.
    CASE p_log
        WHEN 'audit_logs' THEN
            INSERT INTO public.audit_logs (audit_id, created_at, action, resource_type) VALUES (v_id, p_at, '', '');
            DELETE FROM public.audit_logs WHERE audit_id = v_id AND created_at = p_at;
        WHEN 'data_change_history' THEN
            INSERT INTO public.data_change_history (change_id, changed_at, table_name, record_id, change_type)
            VALUES (v_id, p_at, '', '', '');
            DELETE FROM public.data_change_history WHERE change_id = v_id AND changed_at = p_at;
        WHEN 'execution_logs' THEN
            INSERT INTO public.execution_logs (
                log_id, created_at, execution_id, execution_type, log_level, log_message
            ) VALUES (v_id, p_at, '', '', '', '');
            DELETE FROM public.execution_logs WHERE log_id = v_id AND created_at = p_at;
        WHEN 'node_execution_logs' THEN
            INSERT INTO public.node_execution_logs (
                log_id, created_at, execution_id, execution_type, log_level, log_message
            ) VALUES (v_id, p_at, '', '', '', '');
            DELETE FROM public.node_execution_logs WHERE log_id = v_id AND created_at = p_at;
        WHEN 'server_logs' THEN
            INSERT INTO public.server_logs (log_id, created_at, request_id) VALUES (v_id, p_at, '');
            DELETE FROM public.server_logs WHERE log_id = v_id AND created_at = p_at;
    END CASE;
    DELETE FROM public.log_queue WHERE first_id = v_id;
END
$make$;

REVOKE EXECUTE ON FUNCTION make_log_chunk FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_log_chunk TO annals_service;
