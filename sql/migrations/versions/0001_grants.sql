-- Who may do what. annals_owner owns every object and nobody logs in as it; the service, the ingest of
-- logs and retention each get what they need and no more. History and logs can't be rewritten by any of them.

GRANT USAGE ON SCHEMA public TO annals_service, annals_ingest, annals_retention;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO annals_service, annals_retention;

GRANT INSERT, UPDATE ON
    subscriptions, actors, repositories,
    workspaces, folders, jobs, workflows, jobpackages, connectors,
    check_outs, publications
TO annals_service;

GRANT INSERT, UPDATE, DELETE ON users, api_keys TO annals_service;

GRANT INSERT ON versions, version_comments, deletion_logs TO annals_service;
GRANT UPDATE (is_current, is_published, version_tag, checked_out_by, checked_out_at, checked_in_at)
    ON versions TO annals_service;

GRANT INSERT ON
    audit_logs, execution_logs, node_execution_logs, server_logs, data_change_history
TO annals_service;
GRANT INSERT ON execution_logs, node_execution_logs, server_logs TO annals_ingest;
