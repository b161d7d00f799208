-- At most `most` live workflows with ids below `before`, newest first. With each are the given connectors that its
-- current version names as the text of a `connector_id`, at any depth of the definition. The connectors are NULL once
-- the documents of the workflows before take as many bytes, as stored, as one query may search.
WITH scanned AS MATERIALIZED (
    SELECT workflow_id, name FROM workflows
    WHERE subscription_id = :subscription_id AND deleted_at IS NULL AND workflow_id < :before
    ORDER BY workflow_id DESC LIMIT :most
), sized AS (
    SELECT workflow_id, name, version_data,
        sum(pg_column_size(version_data)) OVER (ORDER BY workflow_id DESC) - pg_column_size(version_data) AS bytes
    FROM scanned LEFT JOIN LATERAL (
        SELECT version_data FROM versions
        WHERE subscription_id = :subscription_id AND resource_type = 'workflow'
        AND resource_id = scanned.workflow_id AND is_current
        -- LIMIT 1 finds one version at a time, by the index. A join would read every current version.
        LIMIT 1
    ) AS current ON true
)
SELECT workflow_id AS resource_id, name AS resource_name, CASE WHEN coalesce(bytes, 0) < :most_bytes THEN
    coalesce(jsonb_path_query_array(
        version_data,
        'strict $.definition.**.connector_id ? (@ == $ids[*])',
        jsonb_build_object('ids', CAST(:connector_ids AS TEXT[])),
        true
    ), '[]') END AS named
FROM sized ORDER BY workflow_id DESC
