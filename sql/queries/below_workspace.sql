-- A workspace and every resource in it, deleted or not.
SELECT 'workspace', workspace_id FROM workspaces
WHERE subscription_id = :subscription_id AND workspace_id = :workspace_id
UNION ALL SELECT 'folder', folder_id FROM folders
WHERE subscription_id = :subscription_id AND workspace_id = :workspace_id
UNION ALL SELECT 'job', job_id FROM jobs
WHERE subscription_id = :subscription_id AND workspace_id = :workspace_id
UNION ALL SELECT 'workflow', workflow_id FROM workflows
WHERE subscription_id = :subscription_id AND workspace_id = :workspace_id
UNION ALL SELECT 'jobpackage', jobpackage_id FROM jobpackages
WHERE subscription_id = :subscription_id AND workspace_id = :workspace_id
UNION ALL SELECT 'connector', connector_id FROM connectors
WHERE subscription_id = :subscription_id AND workspace_id = :workspace_id
