-- Deletions and restores, one row a resource. `sql/models/deletions.py` describes the table.

CREATE TABLE deletion_logs (
    deletion_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id UUID NOT NULL,
    resource_name VARCHAR(500) NOT NULL,
    resource_data JSONB,
    parent_resource_type VARCHAR(50),
    parent_resource_id UUID,
    cascade_level INTEGER NOT NULL,
    cascaded_workspaces INTEGER NOT NULL,
    cascaded_folders INTEGER NOT NULL,
    cascaded_jobs INTEGER NOT NULL,
    cascaded_workflows INTEGER NOT NULL,
    cascaded_jobpackages INTEGER NOT NULL,
    cascaded_connectors INTEGER NOT NULL,
    deleted_by UUID,
    deletion_reason TEXT,
    is_soft_delete BOOLEAN NOT NULL,
    can_be_restored BOOLEAN NOT NULL,
    restore_expiry_at TIMESTAMP WITH TIME ZONE,
    deleted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    root_deletion_id UUID NOT NULL,
    version_id UUID NOT NULL,
    published_version_id UUID,
    git_commit_hash VARCHAR(40) NOT NULL,
    commit_number BIGINT NOT NULL,
    restored_at TIMESTAMP WITH TIME ZONE,
    restored_by UUID,
    restored_commit_hash VARCHAR(40),
    restored_commit_number BIGINT,
    purged_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_deletion_logs PRIMARY KEY (deletion_id),
    CONSTRAINT fk_deletion_logs_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_deletion_logs_deleted_by FOREIGN KEY(deleted_by) REFERENCES actors (user_id),
    CONSTRAINT fk_deletion_logs_version_id FOREIGN KEY(version_id) REFERENCES versions (version_id),
    CONSTRAINT fk_deletion_logs_restored_by FOREIGN KEY(restored_by) REFERENCES actors (user_id),
    CONSTRAINT ck_deletion_logs_restored CHECK (
        (restored_at IS NULL) = (restored_commit_hash IS NULL)
        AND (restored_at IS NULL) = (restored_commit_number IS NULL)
    ),
    CONSTRAINT ck_deletion_logs_restorable CHECK (
        NOT can_be_restored
        OR (is_soft_delete AND restore_expiry_at IS NOT NULL AND restored_at IS NULL AND purged_at IS NULL)
    )
);
CREATE INDEX ix_deletion_logs_restorable ON deletion_logs (restore_expiry_at) WHERE can_be_restored;
CREATE INDEX ix_deletion_logs_subscription_id_resource_id ON deletion_logs (subscription_id, resource_id);
CREATE INDEX ix_deletion_logs_subscription_id_parent_resource_id
    ON deletion_logs (subscription_id, parent_resource_id);
CREATE INDEX ix_deletion_logs_subscription_id_deleted_at_deletion_id
    ON deletion_logs (subscription_id, deleted_at, deletion_id);
CREATE INDEX ix_deletion_logs_root_deletion_id ON deletion_logs (root_deletion_id);
CREATE INDEX ix_deletion_logs_version_id ON deletion_logs (version_id);
CREATE INDEX ix_deletion_logs_subscription_id_git_commit_hash ON deletion_logs (subscription_id, git_commit_hash);
CREATE INDEX ix_deletion_logs_subscription_id_restored_commit_hash
    ON deletion_logs (subscription_id, restored_commit_hash) WHERE restored_commit_hash IS NOT NULL;
CREATE INDEX ix_deletion_logs_restored
    ON deletion_logs (subscription_id, restored_at, restored_commit_number) WHERE restored_at IS NOT NULL;
