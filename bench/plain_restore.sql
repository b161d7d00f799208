-- The rows that the service writes when it restores all resources that were deleted with a workspace.
CREATE TEMPORARY TABLE restored ON COMMIT DROP AS
SELECT deletion_id, resource_type AS kind, resource_id, resource_name AS name, cascade_level AS level,
    version_id, published_version_id
FROM deletion_logs
WHERE subscription_id = %(subscription)s AND root_deletion_id = %(deletion)s AND restored_at IS NULL
    AND purged_at IS NULL;

ANALYZE restored;

UPDATE repositories SET head_commit = %(commit)s, commits = commits + 1 WHERE subscription_id = %(subscription)s;

UPDATE workspaces SET deleted_at = NULL FROM restored WHERE kind = 'workspace' AND workspace_id = resource_id;
UPDATE folders SET deleted_at = NULL FROM restored WHERE kind = 'folder' AND folder_id = resource_id;
UPDATE jobs SET deleted_at = NULL FROM restored WHERE kind = 'job' AND job_id = resource_id;
UPDATE workflows SET deleted_at = NULL FROM restored WHERE kind = 'workflow' AND workflow_id = resource_id;
UPDATE jobpackages SET deleted_at = NULL FROM restored WHERE kind = 'jobpackage' AND jobpackage_id = resource_id;
UPDATE connectors SET deleted_at = NULL FROM restored WHERE kind = 'connector' AND connector_id = resource_id;

UPDATE deletion_logs
SET can_be_restored = false, restored_at = %(at)s, restored_by = %(user)s, restored_commit_hash = %(commit)s,
    restored_commit_number = repositories.commits
FROM restored, repositories
WHERE deletion_logs.deletion_id = restored.deletion_id AND repositories.subscription_id = %(subscription)s;

INSERT INTO publications (
    publication_id, subscription_id, resource_type, resource_id, version_id, published_by, published_at
)
SELECT gen_random_uuid(), %(subscription)s, kind, resource_id, published_version_id, %(user)s, %(at)s
FROM restored WHERE published_version_id IS NOT NULL;

UPDATE versions
SET unversioned_changes = unversioned_changes + is_current::int, is_published = named.is_published
FROM (
    SELECT version_id, bool_or(is_published) AS is_published FROM (
        SELECT version_id, false AS is_published FROM restored
        UNION ALL SELECT published_version_id, true FROM restored WHERE published_version_id IS NOT NULL
    ) AS each GROUP BY version_id
) AS named
WHERE versions.version_id = named.version_id;

INSERT INTO audit_logs (
    audit_id, created_at, subscription_id, user_id, username, action, resource_type, resource_id,
    resource_name, new_values, changes, ip_address, user_agent, api_endpoint, http_method, request_id,
    workspace_id, status
)
SELECT gen_random_uuid(), %(at)s, %(subscription)s, %(user)s, 'user-0', 'RESTORE', 'workspace', resource_id, name,
    about, jsonb_build_array(jsonb_build_object('op', 'add', 'path', '', 'value', about)), '127.0.0.1',
    'annals-bench/1', '/v1/subscriptions/{subscription_id}/deletions/{deletion_id}/restore', 'POST', 'bench',
    resource_id, 'success'
FROM restored, LATERAL (
    SELECT jsonb_build_object(
        'deletion_id', deletion_id, 'git_commit_hash', %(commit)s::text, 'name', name,
        'counts', (
            SELECT jsonb_object_agg(kind || 's', counted)
            FROM (SELECT kind, count(*) AS counted FROM restored GROUP BY kind) AS by_kind
        )
    ) AS about
) AS made
WHERE level = 0;

INSERT INTO data_change_history (
    change_id, changed_at, subscription_id, table_name, record_id, record_name, change_type, new_data, diff,
    changed_by, version_number, request_id
)
SELECT gen_random_uuid(), %(at)s, %(subscription)s, kind || 's', restored.resource_id, name, 'INSERT', state,
    jsonb_build_array(jsonb_build_object('op', 'add', 'path', '', 'value', state)), %(user)s,
    version_number + unversioned_changes, 'bench'
FROM restored
JOIN versions USING (version_id), LATERAL (
    SELECT jsonb_build_object(
        'version_id', version_id, 'version_number', version_number, 'version_tag', version_tag,
        'git_commit_hash', git_commit_hash
    ) AS state
) AS made;
