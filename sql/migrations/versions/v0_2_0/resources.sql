-- The six kinds of resource. `sql/models/resources.py` describes them.

CREATE TABLE workspaces (
    subscription_id UUID NOT NULL,
    name VARCHAR(500) NOT NULL,
    description TEXT,
    created_by UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    workspace_id UUID NOT NULL,
    soft_deleted BOOLEAN GENERATED ALWAYS AS (deleted_at IS NOT NULL) STORED,
    CONSTRAINT pk_workspaces PRIMARY KEY (workspace_id),
    CONSTRAINT uq_workspaces_workspace_id_subscription_id UNIQUE (workspace_id, subscription_id),
    CONSTRAINT fk_workspaces_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_workspaces_created_by FOREIGN KEY(created_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_workspaces_subscription_id_workspace_id ON workspaces (subscription_id, workspace_id);
CREATE UNIQUE INDEX uq_workspaces_live_name ON workspaces (subscription_id, name) WHERE deleted_at IS NULL;

CREATE TABLE folders (
    subscription_id UUID NOT NULL,
    name VARCHAR(500) NOT NULL,
    description TEXT,
    created_by UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    folder_id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    parent_folder_id UUID,
    soft_deleted BOOLEAN GENERATED ALWAYS AS (deleted_at IS NOT NULL) STORED,
    CONSTRAINT pk_folders PRIMARY KEY (folder_id),
    CONSTRAINT uq_folders_folder_id_workspace_id_subscription_id UNIQUE (folder_id, workspace_id, subscription_id),
    CONSTRAINT fk_folders_workspace_id
        FOREIGN KEY(workspace_id, subscription_id) REFERENCES workspaces (workspace_id, subscription_id),
    CONSTRAINT fk_folders_parent_folder_id
        FOREIGN KEY(parent_folder_id, workspace_id, subscription_id)
        REFERENCES folders (folder_id, workspace_id, subscription_id) ON UPDATE CASCADE,
    CONSTRAINT fk_folders_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_folders_created_by FOREIGN KEY(created_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_folders_parent_folder_id ON folders (parent_folder_id);
CREATE INDEX ix_folders_subscription_id_folder_id ON folders (subscription_id, folder_id);
CREATE INDEX ix_folders_workspace_id ON folders (workspace_id);
CREATE UNIQUE INDEX uq_folders_live_name
    ON folders (COALESCE(parent_folder_id, workspace_id), name) WHERE deleted_at IS NULL;

CREATE TABLE jobs (
    subscription_id UUID NOT NULL,
    name VARCHAR(500) NOT NULL,
    description TEXT,
    created_by UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    job_id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    folder_id UUID NOT NULL,
    soft_deleted BOOLEAN GENERATED ALWAYS AS (deleted_at IS NOT NULL) STORED,
    CONSTRAINT pk_jobs PRIMARY KEY (job_id),
    CONSTRAINT uq_jobs_job_id_workspace_id_subscription_id UNIQUE (job_id, workspace_id, subscription_id),
    CONSTRAINT fk_jobs_folder_id
        FOREIGN KEY(folder_id, workspace_id, subscription_id)
        REFERENCES folders (folder_id, workspace_id, subscription_id) ON UPDATE CASCADE,
    CONSTRAINT fk_jobs_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_jobs_created_by FOREIGN KEY(created_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_jobs_folder_id ON jobs (folder_id);
CREATE INDEX ix_jobs_subscription_id_job_id ON jobs (subscription_id, job_id);
CREATE INDEX ix_jobs_workspace_id ON jobs (workspace_id);
CREATE UNIQUE INDEX uq_jobs_live_name ON jobs (folder_id, name) WHERE deleted_at IS NULL;

CREATE TABLE workflows (
    subscription_id UUID NOT NULL,
    name VARCHAR(500) NOT NULL,
    description TEXT,
    created_by UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    workflow_id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    job_id UUID NOT NULL,
    soft_deleted BOOLEAN GENERATED ALWAYS AS (deleted_at IS NOT NULL) STORED,
    CONSTRAINT pk_workflows PRIMARY KEY (workflow_id),
    CONSTRAINT fk_workflows_job_id
        FOREIGN KEY(job_id, workspace_id, subscription_id)
        REFERENCES jobs (job_id, workspace_id, subscription_id) ON UPDATE CASCADE,
    CONSTRAINT fk_workflows_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_workflows_created_by FOREIGN KEY(created_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_workflows_job_id ON workflows (job_id);
CREATE INDEX ix_workflows_subscription_id_workflow_id ON workflows (subscription_id, workflow_id);
CREATE INDEX ix_workflows_workspace_id ON workflows (workspace_id);
CREATE UNIQUE INDEX uq_workflows_live_name ON workflows (job_id, name) WHERE deleted_at IS NULL;

CREATE TABLE jobpackages (
    subscription_id UUID NOT NULL,
    name VARCHAR(500) NOT NULL,
    description TEXT,
    created_by UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    jobpackage_id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    folder_id UUID NOT NULL,
    soft_deleted BOOLEAN GENERATED ALWAYS AS (deleted_at IS NOT NULL) STORED,
    CONSTRAINT pk_jobpackages PRIMARY KEY (jobpackage_id),
    CONSTRAINT fk_jobpackages_folder_id
        FOREIGN KEY(folder_id, workspace_id, subscription_id)
        REFERENCES folders (folder_id, workspace_id, subscription_id) ON UPDATE CASCADE,
    CONSTRAINT fk_jobpackages_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_jobpackages_created_by FOREIGN KEY(created_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_jobpackages_folder_id ON jobpackages (folder_id);
CREATE INDEX ix_jobpackages_subscription_id_jobpackage_id ON jobpackages (subscription_id, jobpackage_id);
CREATE INDEX ix_jobpackages_workspace_id ON jobpackages (workspace_id);
CREATE UNIQUE INDEX uq_jobpackages_live_name ON jobpackages (folder_id, name) WHERE deleted_at IS NULL;

CREATE TABLE connectors (
    subscription_id UUID NOT NULL,
    name VARCHAR(500) NOT NULL,
    description TEXT,
    created_by UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    connector_id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    soft_deleted BOOLEAN GENERATED ALWAYS AS (deleted_at IS NOT NULL) STORED,
    CONSTRAINT pk_connectors PRIMARY KEY (connector_id),
    CONSTRAINT fk_connectors_workspace_id
        FOREIGN KEY(workspace_id, subscription_id) REFERENCES workspaces (workspace_id, subscription_id),
    CONSTRAINT fk_connectors_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_connectors_created_by FOREIGN KEY(created_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_connectors_subscription_id_connector_id ON connectors (subscription_id, connector_id);
CREATE UNIQUE INDEX uq_connectors_live_name ON connectors (workspace_id, name) WHERE deleted_at IS NULL;
