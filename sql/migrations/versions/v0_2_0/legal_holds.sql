-- Legal holds. `sql/models/retention.py` describes the tables.

CREATE TABLE legal_holds (
    hold_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    resource_type VARCHAR(50),
    resource_id UUID,
    user_id UUID,
    reason TEXT NOT NULL,
    placed_by VARCHAR(255) NOT NULL,
    placed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    released_by VARCHAR(255),
    released_at TIMESTAMP WITH TIME ZONE,
    release_reason TEXT,
    CONSTRAINT pk_legal_holds PRIMARY KEY (hold_id),
    CONSTRAINT ck_legal_holds_scope CHECK (
        (resource_type IS NULL) = (resource_id IS NULL) AND num_nonnulls(resource_id, user_id) <= 1
    ),
    CONSTRAINT ck_legal_holds_released CHECK ((released_at IS NULL) = (released_by IS NULL)),
    CONSTRAINT fk_legal_holds_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE INDEX ix_legal_holds_subscription_id_hold_id ON legal_holds (subscription_id, hold_id);
CREATE INDEX ix_legal_holds_running ON legal_holds (subscription_id) WHERE released_at IS NULL;

CREATE TABLE legal_hold_moves (
    hold_id UUID NOT NULL,
    resource_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    CONSTRAINT pk_legal_hold_moves PRIMARY KEY (hold_id, resource_id),
    CONSTRAINT fk_legal_hold_moves_hold_id FOREIGN KEY(hold_id) REFERENCES legal_holds (hold_id),
    CONSTRAINT fk_legal_hold_moves_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE INDEX ix_legal_hold_moves_subscription_id_resource_id ON legal_hold_moves (subscription_id, resource_id);

-- Everything that is held at an instant, of one subscription or of all: whole subscriptions, users, and resources
-- with each resource that is or ever was below them, even if it is deleted for good. Rows are found by indexes, not by
-- scans of whole tables: the recursion has many steps, and most of them find nothing.
CREATE FUNCTION retention_held(p_subscription_id UUID, p_at TIMESTAMP WITH TIME ZONE)
RETURNS TABLE (hold_id UUID, subscription_id UUID, scope TEXT, id TEXT)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_nestloop = on AS $held$
WITH RECURSIVE running AS (
    SELECT holds.* FROM public.legal_holds AS holds
    WHERE holds.released_at IS NULL AND (holds.until IS NULL OR holds.until > p_at)
    AND (p_subscription_id IS NULL OR holds.subscription_id = p_subscription_id)
), tree (hold_id, subscription_id, id) AS (
    SELECT running.hold_id, running.subscription_id, running.resource_id FROM running
    WHERE running.resource_id IS NOT NULL
    UNION
    SELECT running.hold_id, running.subscription_id, moves.resource_id
    FROM running JOIN public.legal_hold_moves AS moves ON moves.hold_id = running.hold_id
    UNION
    SELECT tree.hold_id, tree.subscription_id, below.id FROM tree CROSS JOIN LATERAL (
        SELECT folders.folder_id FROM public.folders
        WHERE folders.workspace_id = tree.id AND folders.subscription_id = tree.subscription_id
        UNION ALL SELECT folders.folder_id FROM public.folders
        WHERE folders.parent_folder_id = tree.id AND folders.subscription_id = tree.subscription_id
        UNION ALL SELECT connectors.connector_id FROM public.connectors
        WHERE connectors.workspace_id = tree.id AND connectors.subscription_id = tree.subscription_id
        UNION ALL SELECT jobs.job_id FROM public.jobs
        WHERE jobs.folder_id = tree.id AND jobs.subscription_id = tree.subscription_id
        UNION ALL SELECT jobpackages.jobpackage_id FROM public.jobpackages
        WHERE jobpackages.folder_id = tree.id AND jobpackages.subscription_id = tree.subscription_id
        UNION ALL SELECT workflows.workflow_id FROM public.workflows
        WHERE workflows.job_id = tree.id AND workflows.subscription_id = tree.subscription_id
        UNION ALL SELECT deletion_logs.resource_id FROM public.deletion_logs
        WHERE deletion_logs.subscription_id = tree.subscription_id AND deletion_logs.parent_resource_id = tree.id
    ) AS below (id)
)
SELECT running.hold_id, running.subscription_id, 'subscription', NULL FROM running
WHERE running.resource_id IS NULL AND running.user_id IS NULL
UNION ALL SELECT running.hold_id, running.subscription_id, 'user', running.user_id::text FROM running
WHERE running.user_id IS NOT NULL
UNION ALL SELECT tree.hold_id, tree.subscription_id, 'resource', tree.id::text FROM tree
$held$;
