-- A job and the workflows in it, deleted or not.
SELECT 'job' AS kind, job_id AS resource_id, deleted_at FROM jobs
WHERE subscription_id = :subscription_id AND job_id = :job_id
UNION ALL SELECT 'workflow', workflow_id, deleted_at FROM workflows
WHERE subscription_id = :subscription_id AND job_id = :job_id
