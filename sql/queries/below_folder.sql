-- A folder, the folders below it at any depth, and all resources in these folders, deleted or not.
WITH RECURSIVE inside AS (
    SELECT folder_id, deleted_at FROM folders
    WHERE subscription_id = :subscription_id AND folder_id = :folder_id
    UNION
    SELECT folders.folder_id, folders.deleted_at
    FROM folders JOIN inside ON folders.parent_folder_id = inside.folder_id
    WHERE folders.subscription_id = :subscription_id
)
SELECT 'folder' AS kind, folder_id AS resource_id, deleted_at FROM inside
UNION ALL SELECT 'job', job_id, jobs.deleted_at FROM jobs JOIN inside USING (folder_id)
WHERE subscription_id = :subscription_id
UNION ALL SELECT 'workflow', workflow_id, workflows.deleted_at
FROM workflows JOIN jobs USING (job_id) JOIN inside USING (folder_id)
WHERE workflows.subscription_id = :subscription_id
UNION ALL SELECT 'jobpackage', jobpackage_id, jobpackages.deleted_at
FROM jobpackages JOIN inside USING (folder_id)
WHERE subscription_id = :subscription_id
