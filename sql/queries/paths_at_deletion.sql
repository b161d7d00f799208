-- The jobs, folders and workspaces above deleted resources, as they were when these were deleted: each by the
-- version that it had at the commit of the deletion.
WITH RECURSIVE line AS (
    SELECT deletion.deletion_id, deletion.commit_number, found.*, 0 AS depth
    FROM deletion_logs AS deletion CROSS JOIN LATERAL (
        SELECT resource_type, resource_id, resource_name, CAST(version_data ->> 'parent_id' AS uuid) AS parent_id
        FROM versions
        WHERE subscription_id = :subscription_id AND resource_type = deletion.parent_resource_type
            AND resource_id = CAST(deletion.parent_resource_id AS uuid)
            AND commit_number <= deletion.commit_number
        ORDER BY version_number DESC LIMIT 1
    ) AS found
    WHERE deletion.subscription_id = :subscription_id AND deletion.deletion_id = ANY (CAST(:deletions AS uuid[]))
    UNION ALL
    SELECT line.deletion_id, line.commit_number, found.*, line.depth + 1 FROM line CROSS JOIN LATERAL (
        -- A job lies in a folder or a workspace, as a folder does. Each kind is found by the index.
        (SELECT resource_type, resource_id, resource_name, CAST(version_data ->> 'parent_id' AS uuid)
        FROM versions
        WHERE subscription_id = :subscription_id AND resource_type = 'folder' AND resource_id = line.parent_id
            AND commit_number <= line.commit_number
        ORDER BY version_number DESC LIMIT 1)
        UNION ALL
        (SELECT resource_type, resource_id, resource_name, NULL
        FROM versions
        WHERE subscription_id = :subscription_id AND resource_type = 'workspace'
            AND resource_id = line.parent_id AND commit_number <= line.commit_number
        ORDER BY version_number DESC LIMIT 1)
        LIMIT 1
    ) AS found
    WHERE line.depth < :deepest
)
SELECT deletion_id, resource_type, resource_id, resource_name FROM line ORDER BY deletion_id, depth DESC
