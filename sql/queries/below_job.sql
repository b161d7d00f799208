-- A job and the workflows in it, deleted or not.
SELECT 'job', job_id FROM jobs WHERE subscription_id = :subscription_id AND job_id = :job_id
UNION ALL SELECT 'workflow', workflow_id FROM workflows
WHERE subscription_id = :subscription_id AND job_id = :job_id
