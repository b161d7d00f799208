-- The newest live workflows below an id, at most so many, and whether the current version of each names a
-- connector: as the text of a `connector_id`, at any depth of the definition.
WITH scanned AS MATERIALIZED (
    SELECT workflow_id, name FROM workflows
    WHERE subscription_id = :subscription_id AND deleted_at IS NULL AND workflow_id < :before
    ORDER BY workflow_id DESC LIMIT :most
)
SELECT scanned.workflow_id AS resource_id, scanned.name AS resource_name, jsonb_path_exists(
    current.version_data,
    'strict $.definition.**.connector_id ? (@ == $id)',
    jsonb_build_object('id', CAST(:connector_id AS TEXT)),
    true
) AS is_naming
FROM scanned CROSS JOIN LATERAL (
    SELECT version_data FROM versions
    WHERE subscription_id = :subscription_id AND resource_type = 'workflow'
    AND resource_id = scanned.workflow_id AND is_current
    -- One at a time, by the index: a join would read all that are current.
    LIMIT 1
) AS current
ORDER BY scanned.workflow_id DESC
