-- The jobs, folders and workspaces above some resources, which are given by the ids of their parents.
WITH RECURSIVE line AS (
    SELECT given.start, found.*, 0 AS depth FROM unnest(CAST(:parents AS uuid[])) AS given (start)
    CROSS JOIN LATERAL (
        SELECT 'job' AS resource_type, job_id AS resource_id, name, folder_id, workspace_id FROM jobs
        WHERE subscription_id = :subscription_id AND job_id = given.start
        UNION ALL SELECT 'folder', folder_id, name, parent_folder_id, workspace_id FROM folders
        WHERE subscription_id = :subscription_id AND folder_id = given.start
        UNION ALL SELECT 'workspace', workspace_id, name, NULL, NULL FROM workspaces
        WHERE subscription_id = :subscription_id AND workspace_id = given.start
        -- LIMIT 1 finds one parent at a time, by the index. A join would read whole tables.
        LIMIT 1
    ) AS found
    UNION ALL
    SELECT line.start, found.*, line.depth + 1 FROM line CROSS JOIN LATERAL (
        SELECT 'folder', folder_id, name, parent_folder_id, workspace_id FROM folders
        WHERE subscription_id = :subscription_id AND folder_id = line.folder_id
        UNION ALL SELECT 'workspace', workspace_id, name, NULL, NULL FROM workspaces
        WHERE subscription_id = :subscription_id AND workspace_id = line.workspace_id
            AND line.folder_id IS NULL
        LIMIT 1
    ) AS found
    WHERE line.depth < :deepest
)
SELECT start, resource_type, resource_id, name FROM line ORDER BY start, depth DESC
