-- A folder and the folders above it.
WITH RECURSIVE line AS (
    SELECT folder_id, parent_folder_id FROM folders
    WHERE subscription_id = :subscription_id AND folder_id = :folder_id
    UNION
    SELECT outer_one.folder_id, outer_one.parent_folder_id FROM line CROSS JOIN LATERAL (
        SELECT folder_id, parent_folder_id FROM folders
        WHERE subscription_id = :subscription_id AND folder_id = line.parent_folder_id
        -- LIMIT 1 finds one folder at a time, by the index. A join would read every folder.
        LIMIT 1
    ) AS outer_one
)
SELECT folder_id FROM line
