-- Nothing has deleted a resource so far, so no row has to be filled.
ALTER TABLE deletion_logs
    ADD COLUMN root_deletion_id UUID NOT NULL,
    ADD COLUMN version_id UUID NOT NULL,
    ADD COLUMN published_version_id UUID,
    ADD COLUMN git_commit_hash VARCHAR(40) NOT NULL,
    ADD COLUMN commit_number BIGINT NOT NULL,
    ADD COLUMN restored_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN restored_by UUID,
    ADD COLUMN restored_commit_hash VARCHAR(40),
    ADD COLUMN restored_commit_number BIGINT,
    ADD COLUMN purged_at TIMESTAMP WITH TIME ZONE,
    ADD CONSTRAINT fk_deletion_logs_version_id FOREIGN KEY(version_id) REFERENCES versions (version_id),
    ADD CONSTRAINT fk_deletion_logs_restored_by FOREIGN KEY(restored_by) REFERENCES actors (user_id),
    ADD CONSTRAINT ck_deletion_logs_restored CHECK (
        (restored_at IS NULL) = (restored_commit_hash IS NULL)
        AND (restored_at IS NULL) = (restored_commit_number IS NULL)
    ),
    ADD CONSTRAINT ck_deletion_logs_restorable CHECK (
        NOT can_be_restored
        OR (is_soft_delete AND restore_expiry_at IS NOT NULL AND restored_at IS NULL AND purged_at IS NULL)
    );
DROP INDEX ix_deletion_logs_resource_type_resource_id;
DROP INDEX ix_deletion_logs_parent_resource_type_parent_resource_id;
DROP INDEX ix_deletion_logs_subscription_id_deleted_at;
CREATE INDEX ix_deletion_logs_subscription_id_resource_id ON deletion_logs (subscription_id, resource_id);
CREATE INDEX ix_deletion_logs_subscription_id_parent_resource_id ON deletion_logs (subscription_id, parent_resource_id);
CREATE INDEX ix_deletion_logs_subscription_id_deleted_at_deletion_id
    ON deletion_logs (subscription_id, deleted_at, deletion_id);
CREATE INDEX ix_deletion_logs_root_deletion_id ON deletion_logs (root_deletion_id);
CREATE INDEX ix_deletion_logs_version_id ON deletion_logs (version_id);
CREATE INDEX ix_deletion_logs_subscription_id_git_commit_hash ON deletion_logs (subscription_id, git_commit_hash);
CREATE INDEX ix_deletion_logs_subscription_id_restored_commit_hash
    ON deletion_logs (subscription_id, restored_commit_hash) WHERE restored_commit_hash IS NOT NULL;
CREATE INDEX ix_deletion_logs_restored ON deletion_logs (subscription_id, restored_at, restored_commit_number)
    WHERE restored_at IS NOT NULL;

-- What was there at a commit or an instant, what was published then, and who held what.
CREATE INDEX ix_versions_subscription_id_created_at_commit_number
    ON versions (subscription_id, created_at, commit_number);
CREATE INDEX ix_versions_first ON versions (subscription_id, resource_id, commit_number, resource_type)
    WHERE version_number = 1;
DROP INDEX ix_check_outs_subscription_id_checked_out_at;
CREATE INDEX ix_check_outs_subscription_id_resource_id_checked_out_at
    ON check_outs (subscription_id, resource_id, checked_out_at);
DROP INDEX ix_publications_subscription_id_published_at;
CREATE INDEX ix_publications_subscription_id_resource_id_published_at
    ON publications (subscription_id, resource_id, published_at);

-- A constant default: no row is written for it.
ALTER TABLE versions ADD COLUMN unversioned_changes INTEGER NOT NULL DEFAULT 0;

ALTER TABLE check_outs DROP CONSTRAINT ck_check_outs_release_kind;
ALTER TABLE check_outs ADD CONSTRAINT ck_check_outs_release_kind
    CHECK (release_kind IN ('check_in', 'cancel', 'expired', 'forced', 'user_deleted', 'deleted'));

GRANT UPDATE (
    can_be_restored, restored_at, restored_by, restored_commit_hash, restored_commit_number, purged_at
) ON deletion_logs TO annals_service;
GRANT UPDATE (unversioned_changes) ON versions TO annals_service;
GRANT DELETE ON workspaces, folders, jobs, workflows, jobpackages, connectors TO annals_service;
