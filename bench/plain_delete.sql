-- The rows that the service writes when it deletes a workspace with all resources below it.
CREATE TEMPORARY TABLE deleted ON COMMIT DROP AS
WITH RECURSIVE inside AS (
    SELECT folder_id, 1 AS level, ARRAY[workspace_id, folder_id] AS path
    FROM folders
    WHERE subscription_id = %(subscription)s AND workspace_id = %(workspace)s AND parent_folder_id IS NULL
        AND deleted_at IS NULL
    UNION ALL
    SELECT folders.folder_id, level + 1, path || folders.folder_id
    FROM folders JOIN inside ON folders.parent_folder_id = inside.folder_id
    WHERE folders.deleted_at IS NULL
), found (kind, resource_id, name, parent_kind, parent_id, level, path) AS (
    SELECT 'workspace', workspace_id, name, NULL, NULL::uuid, 0, ARRAY[workspace_id]
    FROM workspaces WHERE subscription_id = %(subscription)s AND workspace_id = %(workspace)s
    UNION ALL
    SELECT 'folder', folder_id, name, CASE WHEN parent_folder_id IS NULL THEN 'workspace' ELSE 'folder' END,
        coalesce(parent_folder_id, workspace_id), level, path
    FROM folders JOIN inside USING (folder_id)
    UNION ALL
    SELECT 'job', job_id, name, 'folder', folder_id, level + 1, path || job_id
    FROM jobs JOIN inside USING (folder_id) WHERE deleted_at IS NULL
    UNION ALL
    SELECT 'jobpackage', jobpackage_id, name, 'folder', folder_id, level + 1, path || jobpackage_id
    FROM jobpackages JOIN inside USING (folder_id) WHERE deleted_at IS NULL
    UNION ALL
    SELECT 'workflow', workflow_id, workflows.name, 'job', job_id, level + 2, path || job_id || workflow_id
    FROM workflows JOIN jobs USING (job_id) JOIN inside USING (folder_id) WHERE workflows.deleted_at IS NULL
    UNION ALL
    SELECT 'connector', connector_id, name, 'workspace', workspace_id, 1, ARRAY[workspace_id, connector_id]
    FROM connectors
    WHERE subscription_id = %(subscription)s AND workspace_id = %(workspace)s AND deleted_at IS NULL
)
SELECT found.*, CASE level WHEN 0 THEN %(deletion)s::uuid ELSE gen_random_uuid() END AS deletion_id FROM found;

ANALYZE deleted;

UPDATE repositories SET head_commit = %(commit)s, commits = commits + 1 WHERE subscription_id = %(subscription)s;

INSERT INTO deletion_logs (
    deletion_id, root_deletion_id, subscription_id, resource_type, resource_id, resource_name, resource_data,
    parent_resource_type, parent_resource_id, cascade_level, cascaded_workspaces, cascaded_folders,
    cascaded_jobs, cascaded_workflows, cascaded_jobpackages, cascaded_connectors, deleted_by, deletion_reason,
    is_soft_delete, can_be_restored, restore_expiry_at, deleted_at, version_id, published_version_id,
    git_commit_hash, commit_number
)
SELECT deletion_id, %(deletion)s, %(subscription)s, kind, deleted.resource_id, name, current.version_data,
    parent_kind, parent_id, level, cascaded.workspaces, cascaded.folders, cascaded.jobs, cascaded.workflows,
    cascaded.jobpackages, cascaded.connectors, %(user)s, 'benchmark', true, true,
    %(at)s::timestamptz + interval '30 days', %(at)s, current.version_id, published.version_id,
    %(commit)s, repositories.commits
FROM deleted
JOIN (
    SELECT outer_id AS resource_id, count(*) FILTER (WHERE kind = 'workspace') AS workspaces,
        count(*) FILTER (WHERE kind = 'folder') AS folders, count(*) FILTER (WHERE kind = 'job') AS jobs,
        count(*) FILTER (WHERE kind = 'workflow') AS workflows,
        count(*) FILTER (WHERE kind = 'jobpackage') AS jobpackages,
        count(*) FILTER (WHERE kind = 'connector') AS connectors
    FROM deleted, unnest(path) AS outer_id GROUP BY outer_id
) AS cascaded USING (resource_id)
JOIN repositories ON repositories.subscription_id = %(subscription)s
JOIN versions AS current ON current.resource_type = kind AND current.resource_id = deleted.resource_id
    AND current.is_current
LEFT JOIN versions AS published ON published.resource_type = kind
    AND published.resource_id = deleted.resource_id AND published.is_published;

UPDATE workspaces SET deleted_at = %(at)s FROM deleted WHERE kind = 'workspace' AND workspace_id = resource_id;
UPDATE folders SET deleted_at = %(at)s FROM deleted WHERE kind = 'folder' AND folder_id = resource_id;
UPDATE jobs SET deleted_at = %(at)s FROM deleted WHERE kind = 'job' AND job_id = resource_id;
UPDATE workflows SET deleted_at = %(at)s FROM deleted WHERE kind = 'workflow' AND workflow_id = resource_id;
UPDATE jobpackages SET deleted_at = %(at)s
FROM deleted WHERE kind = 'jobpackage' AND jobpackage_id = resource_id;
UPDATE connectors SET deleted_at = %(at)s FROM deleted WHERE kind = 'connector' AND connector_id = resource_id;

UPDATE publications SET unpublished_by = %(user)s, unpublished_at = %(at)s
FROM deleted
WHERE publications.resource_type = kind AND publications.resource_id = deleted.resource_id
    AND unpublished_at IS NULL;

UPDATE versions
SET unversioned_changes = unversioned_changes + is_current::int, is_published = false
FROM deleted
WHERE versions.resource_type = kind AND versions.resource_id = deleted.resource_id
    AND (is_current OR is_published);

INSERT INTO audit_logs (
    audit_id, created_at, subscription_id, user_id, username, action, resource_type, resource_id,
    resource_name, new_values, changes, ip_address, user_agent, api_endpoint, http_method, request_id,
    workspace_id, status
)
SELECT gen_random_uuid(), %(at)s, %(subscription)s, %(user)s, 'user-0', 'DELETE', 'workspace', resource_id, name,
    about, jsonb_build_array(jsonb_build_object('op', 'add', 'path', '', 'value', about)), '127.0.0.1',
    'annals-bench/1', '/v1/subscriptions/{subscription_id}/{collection}/{resource_id}', 'DELETE', 'bench',
    resource_id, 'success'
FROM deleted, LATERAL (
    SELECT jsonb_build_object(
        'deletion_id', deletion_id, 'permanent', false, 'restore_expiry_at',
        %(at)s::timestamptz + interval '30 days', 'reason', 'benchmark', 'git_commit_hash', %(commit)s::text,
        'counts', (
            SELECT jsonb_object_agg(kind || 's', counted)
            FROM (SELECT kind, count(*) AS counted FROM deleted GROUP BY kind) AS by_kind
        )
    ) AS about
) AS made
WHERE level = 0;

INSERT INTO data_change_history (
    change_id, changed_at, subscription_id, table_name, record_id, record_name, change_type, old_data, diff,
    changed_by, change_reason, version_number, request_id
)
SELECT gen_random_uuid(), %(at)s, %(subscription)s, kind || 's', deleted.resource_id, name, 'DELETE',
    jsonb_build_object(
        'version_id', version_id, 'version_number', version_number, 'version_tag', version_tag,
        'git_commit_hash', git_commit_hash
    ),
    '[{"op": "remove", "path": ""}]', %(user)s, 'benchmark', version_number + unversioned_changes, 'bench'
FROM deleted
JOIN versions ON versions.resource_type = kind AND versions.resource_id = deleted.resource_id AND is_current;
