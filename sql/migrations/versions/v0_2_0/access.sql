-- Grants and row-level security. annals_owner owns every object and nobody logs in as it; the service, the ingest of
-- logs and retention each get the rights that they need and no more. None of them can rewrite history or logs.

GRANT USAGE ON SCHEMA public TO annals_service, annals_ingest, annals_retention;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO annals_service, annals_retention;
-- Only the owner may read these two tables: its checked functions write them and compare their rows.
REVOKE SELECT ON late_writes, rules_seen FROM annals_service, annals_retention;

GRANT INSERT, UPDATE ON
    subscriptions, actors, repositories, workspaces, folders, jobs, workflows, jobpackages, connectors,
    check_outs, publications, tags, idempotency_keys, change_numbers, job_schedules, job_plans, job_runs,
    retention_policies, users, api_keys
TO annals_service;
GRANT INSERT ON
    versions, version_comments, deletion_logs, audit_policies, legal_holds, legal_hold_moves, archives,
    audit_logs, execution_logs, node_execution_logs, server_logs, data_change_history
TO annals_service;
GRANT DELETE ON
    users, api_keys, workspaces, folders, jobs, workflows, jobpackages, connectors, idempotency_keys,
    audit_policies, job_schedules, job_plans, job_runs, retention_policies
TO annals_service;
GRANT UPDATE (
    is_current, is_published, version_tag, checked_out_by, checked_out_at, checked_in_at, unversioned_changes
) ON versions TO annals_service;
GRANT UPDATE (
    can_be_restored, restored_at, restored_by, restored_commit_hash, restored_commit_number, purged_at
) ON deletion_logs TO annals_service;
GRANT UPDATE (done_at, deletion_id, problem) ON deletion_requests TO annals_service;
GRANT UPDATE (released_by, released_at, release_reason) ON legal_holds TO annals_service;

GRANT INSERT ON execution_logs, node_execution_logs, server_logs TO annals_ingest;
GRANT INSERT ON archives TO annals_retention;

-- Functions that are granted to no role are called by other functions, or by an operator as the owner.
REVOKE EXECUTE ON FUNCTION
    cascade_delete_workspace, retention_log, retention_cutoff, retention_held, retention_window, retention_is_held,
    retention_rules, keep_rules, check_rules_seen, delete_expired, count_expired, count_held, log_keeps,
    log_chunks, note_late_write, log_chunk, lock_chunk, guard_chunk, drop_expired_chunk,
    check_purge, purge_rows, purge_subscription
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    delete_expired, count_expired, count_held, log_keeps, log_chunks, guard_chunk, drop_expired_chunk,
    purge_rows, purge_subscription
TO annals_retention;

-- Each query names its subscription. Row-level security is the second wall, for a query that forgets to.
DO $walls$
DECLARE
    v_table TEXT;
BEGIN
    FOREACH v_table IN ARRAY ARRAY[
        'subscriptions', 'actors', 'users', 'api_keys', 'repositories',
        'workspaces', 'folders', 'jobs', 'workflows', 'jobpackages', 'connectors',
        'versions', 'version_comments', 'check_outs', 'publications', 'tags', 'idempotency_keys',
        'deletion_logs', 'deletion_requests',
        'audit_logs', 'execution_logs', 'node_execution_logs', 'server_logs', 'data_change_history',
        'change_numbers', 'audit_policies',
        -- Rows of these that apply to all have no subscription; each subscription sees its own rows alone.
        'retention_policies', 'legal_holds', 'legal_hold_moves', 'archives'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format(
            'CREATE POLICY subscription ON %I USING '
            '(current_setting(''annals.scope'', true) IN (''platform'', subscription_id::text))',
            v_table
        );
    END LOOP;
    FOREACH v_table IN ARRAY ARRAY['job_schedules', 'job_plans', 'job_runs'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format(
            'CREATE POLICY platform ON %I USING (current_setting(''annals.scope'', true) = ''platform'')', v_table
        );
    END LOOP;
END
$walls$;
