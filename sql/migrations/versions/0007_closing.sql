-- The one way by which the rows of a closed subscription go: some of them a call, in the order of their dependence.

-- Each version that goes is looked for among the tags.
CREATE INDEX ix_tags_version_id ON tags (version_id);

-- Removes at most p_limit rows (of a log some more, where many have one time) of one table, and says of which and how
-- many; nothing at all where nothing is left. What stays: the row of the subscription, its legal holds, its audit log
-- and its change history.
CREATE FUNCTION purge_subscription(
    p_subscription_id UUID,
    p_at TIMESTAMP WITH TIME ZONE,
    p_limit INTEGER
) RETURNS TABLE (purged_table TEXT, purged_rows BIGINT)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $purge$
DECLARE
    v_table TEXT;
    v_condition TEXT;
    v_until TIMESTAMP WITH TIME ZONE;
    v_rows BIGINT;
BEGIN
    -- Held until the transaction ends, so that nobody opens it again meanwhile.
    PERFORM FROM public.subscriptions
    WHERE subscription_id = p_subscription_id
        AND purge_after <= p_at AND exported_at IS NOT NULL AND purged_at IS NULL
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the subscription % is not one to be purged at %', p_subscription_id, p_at
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF EXISTS (
        SELECT FROM public.legal_holds
        WHERE subscription_id = p_subscription_id AND released_at IS NULL AND (until IS NULL OR until > p_at)
    ) THEN
        RAISE EXCEPTION 'a legal hold keeps the subscription %', p_subscription_id
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOREACH v_table IN ARRAY ARRAY['server_logs', 'execution_logs', 'node_execution_logs'] LOOP
        EXECUTE format(
            'SELECT created_at FROM public.%I WHERE subscription_id = $1 ORDER BY created_at OFFSET $2 LIMIT 1', v_table
        ) INTO v_until USING p_subscription_id, p_limit - 1;
        EXECUTE format('DELETE FROM public.%I WHERE subscription_id = $1 AND created_at <= $2', v_table)
            USING p_subscription_id, coalesce(v_until, 'infinity');
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows > 0 THEN
            RETURN QUERY SELECT v_table, v_rows;
            RETURN;
        END IF;
    END LOOP;
    FOREACH v_table IN ARRAY ARRAY[
        'deletion_requests', 'idempotency_keys', 'version_comments', 'tags', 'publications', 'check_outs',
        'deletion_logs', 'versions',
        'connectors', 'workflows', 'jobpackages', 'jobs', 'folders', 'workspaces',
        'api_keys', 'users', 'actors', 'change_numbers', 'audit_policies', 'retention_policies', 'repositories'
    ] LOOP
        v_condition := CASE v_table
            -- Those that nothing lies in.
            WHEN 'folders' THEN
                'NOT EXISTS (SELECT FROM public.folders AS inside WHERE inside.parent_folder_id = t.folder_id)'
            -- Of the row that stays, so that its last change has the next number.
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
REVOKE EXECUTE ON FUNCTION purge_subscription(UUID, TIMESTAMP WITH TIME ZONE, INTEGER) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION purge_subscription(UUID, TIMESTAMP WITH TIME ZONE, INTEGER) TO annals_retention;
