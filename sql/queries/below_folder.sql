-- A folder, the folders below it at any depth, and all resources in these folders, deleted or not.
WITH RECURSIVE inside AS (
    SELECT folder_id FROM folders WHERE subscription_id = :subscription_id AND folder_id = :folder_id
    UNION
    SELECT folders.folder_id FROM folders JOIN inside ON folders.parent_folder_id = inside.folder_id
    WHERE folders.subscription_id = :subscription_id
)
SELECT 'folder', folder_id FROM inside
UNION ALL SELECT 'job', job_id FROM jobs JOIN inside USING (folder_id)
WHERE subscription_id = :subscription_id
UNION ALL SELECT 'workflow', workflow_id FROM workflows JOIN jobs USING (job_id) JOIN inside USING (folder_id)
WHERE workflows.subscription_id = :subscription_id
UNION ALL SELECT 'jobpackage', jobpackage_id FROM jobpackages JOIN inside USING (folder_id)
WHERE subscription_id = :subscription_id
