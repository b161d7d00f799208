-- Topmost resources that can no longer be restored. A descendant that was deleted separately and can still be restored,
-- to another parent, keeps its ancestors from being purged.
WITH RECURSIVE due AS MATERIALIZED (
    SELECT deletion_id, resource_type, resource_id, parent_resource_id, restore_expiry_at
    FROM deletion_logs
    WHERE subscription_id = :of_subscription AND can_be_restored AND restore_expiry_at <= :at
),
waiting (resource_id, parent_resource_id) AS (
    SELECT due.resource_id, due.parent_resource_id
    FROM due
    JOIN deletion_logs AS inner_ ON inner_.subscription_id = :of_subscription
        AND inner_.parent_resource_id = due.resource_id
        AND inner_.can_be_restored AND inner_.restore_expiry_at > :at
    UNION
    SELECT due.resource_id, due.parent_resource_id
    FROM waiting
    JOIN due ON due.resource_id = waiting.parent_resource_id
),
expired AS MATERIALIZED (
    SELECT due.*
    FROM due
    WHERE NOT EXISTS (SELECT FROM waiting WHERE waiting.resource_id = due.resource_id)
)
SELECT deletion_id, resource_type, resource_id, restore_expiry_at, (SELECT count(*) FROM expired) AS total
FROM expired
WHERE NOT EXISTS (SELECT FROM expired AS outer_ WHERE outer_.resource_id = expired.parent_resource_id)
    AND (
        CAST(:after_time AS TIMESTAMP WITH TIME ZONE) IS NULL
        OR (restore_expiry_at, deletion_id) > (:after_time, CAST(:after_id AS UUID))
    )
ORDER BY restore_expiry_at, deletion_id
LIMIT :limit
