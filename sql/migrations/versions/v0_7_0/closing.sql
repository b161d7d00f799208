-- The purge of closed subscriptions also deletes the figures of their executions.

-- Delete at most p_limit rows of one of the other tables, a table before those that it refers to. Returns the table and
-- the number of rows, or no row if nothing is left. These rows stay: the subscription's own, its legal holds, its audit
-- log and its change history.
CREATE OR REPLACE FUNCTION purge_subscription(
    p_subscription_id UUID,
    p_at TIMESTAMP WITH TIME ZONE,
    p_limit INTEGER
) RETURNS TABLE (purged_table TEXT, purged_rows BIGINT)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $purge$
DECLARE
    v_table TEXT;
    v_condition TEXT;
    v_rows BIGINT;
BEGIN
    PERFORM public.check_purge(p_subscription_id, p_at);
    FOREACH v_table IN ARRAY ARRAY[
        'execution_figures', 'execution_figure_days', 'execution_figure_positions',
        'idempotency_keys', 'reported_event_ids', 'reported_actors', 'version_comments', 'tags', 'publications', 'check_outs',
        'deletion_logs', 'versions',
        'connectors', 'workflows', 'jobpackages', 'jobs', 'folders', 'workspaces',
        'users', 'actors', 'change_numbers', 'audit_policies', 'log_batches', 'repositories'
    ] LOOP
        v_condition := CASE v_table
            -- Innermost folders first.
            WHEN 'folders' THEN
                'NOT EXISTS (SELECT FROM public.folders AS inside WHERE inside.parent_folder_id = t.folder_id)'
            -- The row of the subscription stays, and its last change gets the next number.
            WHEN 'change_numbers' THEN 't.table_name <> ''subscriptions'''
            ELSE 'true'
        END;
        EXECUTE format(
            'DELETE FROM public.%1$I WHERE ctid = ANY (ARRAY('
            '  SELECT t.ctid FROM public.%1$I AS t WHERE t.subscription_id = $1 AND %2$s LIMIT $2'
            '))',
            v_table, v_condition
        ) USING p_subscription_id, p_limit;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows > 0 THEN
            RETURN QUERY SELECT v_table, v_rows;
            RETURN;
        END IF;
    END LOOP;
END
$purge$;
