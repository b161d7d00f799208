-- Deletions in a platform's own systems, which it posts, or writes by the specification's statement. They have no
-- version and no commit, so that Annals can't restore them: this alone tells them from the deletions of Annals.

ALTER TABLE deletion_logs
    ALTER COLUMN deletion_id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN deleted_at SET DEFAULT now(),
    ALTER COLUMN cascade_level SET DEFAULT 0,
    ALTER COLUMN cascaded_workspaces SET DEFAULT 0,
    ALTER COLUMN cascaded_folders SET DEFAULT 0,
    ALTER COLUMN cascaded_jobs SET DEFAULT 0,
    ALTER COLUMN cascaded_workflows SET DEFAULT 0,
    ALTER COLUMN cascaded_jobpackages SET DEFAULT 0,
    ALTER COLUMN cascaded_connectors SET DEFAULT 0,
    ALTER COLUMN is_soft_delete SET DEFAULT FALSE,
    ALTER COLUMN can_be_restored SET DEFAULT TRUE,
    ALTER COLUMN resource_id DROP NOT NULL,
    ALTER COLUMN resource_name DROP NOT NULL,
    ALTER COLUMN root_deletion_id DROP NOT NULL,
    ALTER COLUMN version_id DROP NOT NULL,
    ALTER COLUMN git_commit_hash DROP NOT NULL,
    ALTER COLUMN commit_number DROP NOT NULL,
    ADD COLUMN occurred_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN source VARCHAR(200),
    ADD COLUMN recorded_by UUID,
    ADD COLUMN request_id VARCHAR(128),
    -- The ids and the person as the platform names them, any text. So no id of a platform's own is ever taken for that
    -- of a resource or a user of Annals.
    ADD COLUMN reported_resource_id VARCHAR(255),
    ADD COLUMN reported_parent_id VARCHAR(255),
    ADD COLUMN reported_deleted_by VARCHAR(255),
    ADD COLUMN origin TEXT NOT NULL
        GENERATED ALWAYS AS (CASE WHEN version_id IS NULL THEN 'posted' ELSE 'annals' END) STORED,
    ADD CONSTRAINT ck_deletion_logs_posted CHECK (
        CASE WHEN version_id IS NULL THEN
            num_nonnulls(root_deletion_id, published_version_id, git_commit_hash, commit_number, restored_at, purged_at)
                = 0
            AND num_nonnulls(resource_id, reported_resource_id) = 1
        ELSE
            num_nulls(root_deletion_id, git_commit_hash, commit_number, resource_id, resource_name) = 0
            AND num_nonnulls(
                reported_resource_id, reported_parent_id, reported_deleted_by, recorded_by, source, occurred_at
            ) = 0
        END
    );

-- The specification's statement says of each deletion that it can be restored. Without a version it can't be.
CREATE FUNCTION never_restorable() RETURNS TRIGGER LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $never$
BEGIN
    NEW.can_be_restored := FALSE;
    RETURN NEW;
END
$never$;
CREATE TRIGGER never_restorable BEFORE INSERT OR UPDATE ON deletion_logs
FOR EACH ROW WHEN (NEW.version_id IS NULL AND NEW.can_be_restored) EXECUTE FUNCTION never_restorable();

-- Posted deletions are mostly permanent, and no reason to refuse a clone.
DROP INDEX ix_deletion_logs_permanent;
CREATE INDEX ix_deletion_logs_permanent ON deletion_logs (subscription_id)
    WHERE NOT is_soft_delete AND version_id IS NOT NULL;

CREATE INDEX ix_deletion_logs_occurred_at
    ON deletion_logs (
        subscription_id, (CASE WHEN occurred_at IS NULL THEN deleted_at ELSE occurred_at END), deletion_id
    );
CREATE INDEX ix_deletion_logs_origin ON deletion_logs (subscription_id, origin, deleted_at, deletion_id);
CREATE INDEX ix_deletion_logs_reported_resource_id
    ON deletion_logs (subscription_id, reported_resource_id, deleted_at, deletion_id)
    WHERE reported_resource_id IS NOT NULL;
CREATE INDEX ix_deletion_logs_reported_parent_id
    ON deletion_logs (subscription_id, reported_parent_id, deleted_at, deletion_id)
    WHERE reported_parent_id IS NOT NULL;
CREATE INDEX ix_deletion_logs_reported_deleted_by
    ON deletion_logs (subscription_id, reported_deleted_by, deleted_at, deletion_id)
    WHERE reported_deleted_by IS NOT NULL;
CREATE INDEX ix_deletion_logs_source
    ON deletion_logs (subscription_id, source, deleted_at, deletion_id) WHERE source IS NOT NULL;
CREATE INDEX ix_deletion_logs_recorded_by
    ON deletion_logs (subscription_id, recorded_by, deleted_at, deletion_id) WHERE recorded_by IS NOT NULL;
