-- The only functions that delete the rows of a closed subscription: a limited number of rows a call, and only if the
-- subscription is due to be purged.

-- Raise object_not_in_prerequisite_state for a subscription that is not closed, due and exported, or is held. Until
-- the transaction ends nobody can reopen it or place a hold.
CREATE FUNCTION check_purge(p_subscription_id UUID, p_at TIMESTAMP WITH TIME ZONE) RETURNS VOID
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $check$
BEGIN
    PERFORM FROM public.subscriptions
    WHERE subscription_id = p_subscription_id
        AND purge_after <= p_at AND exported_at IS NOT NULL AND purged_at IS NULL
    FOR UPDATE;
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
END
$check$;

-- Delete at most p_limit rows of a subscription, the oldest first, from the table whose row type `p_row` has, and
-- return them: they are archived in the transaction that deletes them. For tables that are written to until the end.
CREATE FUNCTION purge_rows(
    p_row ANYELEMENT, p_subscription_id UUID, p_at TIMESTAMP WITH TIME ZONE, p_limit INTEGER
) RETURNS SETOF ANYELEMENT LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $purge$
DECLARE
    v_table TEXT;
    v_id TEXT;
    v_time TEXT;
    v_last_id UUID;
    v_last TIMESTAMP WITH TIME ZONE;
BEGIN
    SELECT known.name, known.id, known.time INTO v_table, v_id, v_time
    FROM (VALUES
        ('deletion_requests', 'request_id', 'requested_at'),
        ('api_keys', 'key_id', 'created_at'),
        ('retention_policies', 'policy_id', 'changed_at'),
        ('execution_logs', 'log_id', 'created_at'),
        ('node_execution_logs', 'log_id', 'created_at'),
        ('server_logs', 'log_id', 'created_at')
    ) AS known (name, id, time)
    WHERE to_regtype('public.' || known.name) = pg_typeof(p_row);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'rows of % do not go this way', pg_typeof(p_row) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'at most 100,000 rows go at once, not %', p_limit
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM public.check_purge(p_subscription_id, p_at);
    EXECUTE format(
        'SELECT r.%2$I, r.%3$I FROM public.%1$I AS r WHERE r.subscription_id = $1 '
        'ORDER BY r.%2$I, r.%3$I OFFSET $2 LIMIT 1',
        v_table, v_time, v_id
    ) INTO v_last, v_last_id USING p_subscription_id, p_limit - 1;
    RETURN QUERY EXECUTE format(
        'DELETE FROM public.%1$I AS r WHERE r.subscription_id = $1 AND r.%2$I <= $2 '
        'AND (r.%2$I, r.%3$I) <= ($2, $3) RETURNING r.*',
        v_table, v_time, v_id
    ) USING p_subscription_id, coalesce(v_last, 'infinity'),
        coalesce(v_last_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
END
$purge$;

-- Delete at most p_limit rows of one of the other tables, a table before those that it refers to. Returns the table and
-- the number of rows, or no row if nothing is left. These rows stay: the subscription's own, its legal holds, its audit
-- log and its change history.
CREATE FUNCTION purge_subscription(
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
        'idempotency_keys', 'version_comments', 'tags', 'publications', 'check_outs',
        'deletion_logs', 'versions',
        'connectors', 'workflows', 'jobpackages', 'jobs', 'folders', 'workspaces',
        'users', 'actors', 'change_numbers', 'audit_policies', 'repositories'
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
