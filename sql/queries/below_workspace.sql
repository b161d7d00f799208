-- A workspace and every resource in it, deleted or not.
SELECT 'workspace' AS kind, workspace_id AS resource_id, deleted_at FROM workspaces
WHERE subscription_id = :subscription_id AND workspace_id = :workspace_id
UNION ALL SELECT 'folder', folder_id, deleted_at FROM folders
WHERE subscription_id = :subscription_id AND workspace_id = :workspace_id
UNION ALL SELECT 'job', job_id, deleted_at FROM jobs
WHERE subscription_id = :subscription_id AND workspace_id = :workspace_id
UNION ALL SELECT 'workflow', workflow_id, deleted_at FROM workflows
WHERE subscription_id = :subscription_id AND workspace_id = :workspace_id
UNION ALL SELECT 'jobpackage', jobpackage_id, deleted_at FROM jobpackages
WHERE subscription_id = :subscription_id AND workspace_id = :workspace_id
UNION ALL SELECT 'connector', connector_id, deleted_at FROM connectors
WHERE subscription_id = :subscription_id AND workspace_id = :workspace_id
