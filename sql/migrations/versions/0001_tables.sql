-- The tables as of revision 0001. `sql.models` says what they are for; a test keeps the two equal.

CREATE TABLE subscriptions (
    subscription_id UUID NOT NULL,
    name VARCHAR(255) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_subscriptions PRIMARY KEY (subscription_id)
);

CREATE TABLE actors (
    user_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    username VARCHAR(255) NOT NULL,
    email VARCHAR(255),
    CONSTRAINT pk_actors PRIMARY KEY (user_id),
    CONSTRAINT fk_actors_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE INDEX ix_actors_subscription_id ON actors (subscription_id);

CREATE TABLE users (
    user_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    username VARCHAR(255) NOT NULL,
    role VARCHAR(20) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (user_id),
    CONSTRAINT uq_users_subscription_id_username UNIQUE (subscription_id, username),
    CONSTRAINT ck_users_role CHECK (role IN ('viewer', 'editor', 'auditor', 'admin')),
    CONSTRAINT fk_users_user_id FOREIGN KEY(user_id) REFERENCES actors (user_id),
    CONSTRAINT fk_users_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);

CREATE TABLE api_keys (
    key_id UUID NOT NULL,
    subscription_id UUID,
    user_id UUID,
    name TEXT NOT NULL,
    secret_hash BYTEA NOT NULL,
    created_by UUID,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_keys PRIMARY KEY (key_id),
    CONSTRAINT ck_api_keys_owner CHECK ((subscription_id IS NULL) = (user_id IS NULL)),
    CONSTRAINT fk_api_keys_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_api_keys_user_id FOREIGN KEY(user_id) REFERENCES users (user_id) ON DELETE CASCADE
);
CREATE INDEX ix_api_keys_subscription_id_key_id ON api_keys (subscription_id, key_id);
CREATE INDEX ix_api_keys_user_id ON api_keys (user_id);
CREATE UNIQUE INDEX uq_api_keys_operator ON api_keys (name) WHERE subscription_id IS NULL;

CREATE TABLE repositories (
    subscription_id UUID NOT NULL,
    head_commit VARCHAR(40),
    published_commit VARCHAR(40),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_repositories PRIMARY KEY (subscription_id),
    CONSTRAINT fk_repositories_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);

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
    CONSTRAINT fk_folders_workspace_id FOREIGN KEY(workspace_id, subscription_id) REFERENCES workspaces (workspace_id, subscription_id),
    CONSTRAINT fk_folders_parent_folder_id FOREIGN KEY(parent_folder_id, workspace_id, subscription_id) REFERENCES folders (folder_id, workspace_id, subscription_id) ON UPDATE CASCADE,
    CONSTRAINT fk_folders_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_folders_created_by FOREIGN KEY(created_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_folders_parent_folder_id ON folders (parent_folder_id);
CREATE INDEX ix_folders_subscription_id_folder_id ON folders (subscription_id, folder_id);
CREATE INDEX ix_folders_workspace_id ON folders (workspace_id);
CREATE UNIQUE INDEX uq_folders_live_name ON folders (COALESCE(parent_folder_id, workspace_id), name) WHERE deleted_at IS NULL;

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
    CONSTRAINT fk_jobs_folder_id FOREIGN KEY(folder_id, workspace_id, subscription_id) REFERENCES folders (folder_id, workspace_id, subscription_id) ON UPDATE CASCADE,
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
    CONSTRAINT fk_workflows_job_id FOREIGN KEY(job_id, workspace_id, subscription_id) REFERENCES jobs (job_id, workspace_id, subscription_id) ON UPDATE CASCADE,
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
    CONSTRAINT fk_jobpackages_folder_id FOREIGN KEY(folder_id, workspace_id, subscription_id) REFERENCES folders (folder_id, workspace_id, subscription_id) ON UPDATE CASCADE,
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
    CONSTRAINT fk_connectors_workspace_id FOREIGN KEY(workspace_id, subscription_id) REFERENCES workspaces (workspace_id, subscription_id),
    CONSTRAINT fk_connectors_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_connectors_created_by FOREIGN KEY(created_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_connectors_subscription_id_connector_id ON connectors (subscription_id, connector_id);
CREATE UNIQUE INDEX uq_connectors_live_name ON connectors (workspace_id, name) WHERE deleted_at IS NULL;

CREATE TABLE versions (
    version_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id UUID NOT NULL,
    resource_name VARCHAR(500) NOT NULL,
    version_number INTEGER NOT NULL,
    version_tag VARCHAR(100),
    version_description TEXT,
    version_data JSONB NOT NULL,
    is_current BOOLEAN NOT NULL,
    is_published BOOLEAN NOT NULL,
    checked_out_by UUID,
    checked_out_at TIMESTAMP WITH TIME ZONE,
    checked_in_at TIMESTAMP WITH TIME ZONE,
    git_commit_hash VARCHAR(40) NOT NULL,
    git_blob_id VARCHAR(40) NOT NULL,
    git_branch VARCHAR(255) NOT NULL,
    git_repo_url TEXT NOT NULL,
    created_by UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_versions PRIMARY KEY (version_id),
    CONSTRAINT uq_versions_subscription_id_resource_type_resource_id_v_0ac0 UNIQUE (subscription_id, resource_type, resource_id, version_number),
    CONSTRAINT fk_versions_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_versions_checked_out_by FOREIGN KEY(checked_out_by) REFERENCES actors (user_id),
    CONSTRAINT fk_versions_created_by FOREIGN KEY(created_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_versions_checked_out_by ON versions (checked_out_by) WHERE checked_out_by IS NOT NULL;
CREATE INDEX ix_versions_subscription_id_git_commit_hash ON versions (subscription_id, git_commit_hash);
CREATE UNIQUE INDEX uq_versions_current ON versions (resource_type, resource_id) WHERE is_current;
CREATE UNIQUE INDEX uq_versions_published ON versions (resource_type, resource_id) WHERE is_published;
CREATE UNIQUE INDEX uq_versions_tag ON versions (subscription_id, resource_type, resource_id, version_tag) WHERE version_tag IS NOT NULL;

CREATE TABLE version_comments (
    comment_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    version_id UUID NOT NULL,
    comment_text TEXT NOT NULL,
    commented_by UUID NOT NULL,
    commented_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_version_comments PRIMARY KEY (comment_id),
    CONSTRAINT fk_version_comments_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_version_comments_version_id FOREIGN KEY(version_id) REFERENCES versions (version_id),
    CONSTRAINT fk_version_comments_commented_by FOREIGN KEY(commented_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_version_comments_subscription_id ON version_comments (subscription_id);
CREATE INDEX ix_version_comments_version_id_commented_at ON version_comments (version_id, commented_at);

CREATE TABLE check_outs (
    check_out_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id UUID NOT NULL,
    version_id UUID NOT NULL,
    checked_out_by UUID NOT NULL,
    checked_out_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    reason TEXT,
    released_at TIMESTAMP WITH TIME ZONE,
    released_by UUID,
    release_kind VARCHAR(20),
    CONSTRAINT pk_check_outs PRIMARY KEY (check_out_id),
    CONSTRAINT ck_check_outs_release_kind CHECK (release_kind IN ('check_in', 'cancel', 'expired', 'forced', 'user_deleted')),
    CONSTRAINT ck_check_outs_released CHECK ((released_at IS NULL) = (release_kind IS NULL)),
    CONSTRAINT fk_check_outs_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_check_outs_version_id FOREIGN KEY(version_id) REFERENCES versions (version_id),
    CONSTRAINT fk_check_outs_checked_out_by FOREIGN KEY(checked_out_by) REFERENCES actors (user_id),
    CONSTRAINT fk_check_outs_released_by FOREIGN KEY(released_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_check_outs_checked_out_by ON check_outs (checked_out_by) WHERE released_at IS NULL;
CREATE INDEX ix_check_outs_subscription_id_checked_out_at ON check_outs (subscription_id, checked_out_at);
CREATE INDEX ix_check_outs_version_id ON check_outs (version_id);
CREATE UNIQUE INDEX uq_check_outs_open ON check_outs (resource_type, resource_id) WHERE released_at IS NULL;

CREATE TABLE publications (
    publication_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id UUID NOT NULL,
    version_id UUID NOT NULL,
    published_by UUID NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    unpublished_by UUID,
    unpublished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_publications PRIMARY KEY (publication_id),
    CONSTRAINT fk_publications_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_publications_version_id FOREIGN KEY(version_id) REFERENCES versions (version_id),
    CONSTRAINT fk_publications_published_by FOREIGN KEY(published_by) REFERENCES actors (user_id),
    CONSTRAINT fk_publications_unpublished_by FOREIGN KEY(unpublished_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_publications_subscription_id_published_at ON publications (subscription_id, published_at);
CREATE INDEX ix_publications_version_id ON publications (version_id);
CREATE UNIQUE INDEX uq_publications_open ON publications (resource_type, resource_id) WHERE unpublished_at IS NULL;

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
    CONSTRAINT pk_deletion_logs PRIMARY KEY (deletion_id),
    CONSTRAINT fk_deletion_logs_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_deletion_logs_deleted_by FOREIGN KEY(deleted_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_deletion_logs_parent_resource_type_parent_resource_id ON deletion_logs (parent_resource_type, parent_resource_id);
CREATE INDEX ix_deletion_logs_resource_type_resource_id ON deletion_logs (resource_type, resource_id);
CREATE INDEX ix_deletion_logs_restorable ON deletion_logs (restore_expiry_at) WHERE can_be_restored;
CREATE INDEX ix_deletion_logs_subscription_id_deleted_at ON deletion_logs (subscription_id, deleted_at);

CREATE TABLE audit_logs (
    audit_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    subscription_id UUID,
    user_id UUID,
    username VARCHAR(255),
    action VARCHAR(50) NOT NULL,
    resource_type VARCHAR(100) NOT NULL,
    resource_id VARCHAR(255),
    resource_name VARCHAR(500),
    old_values JSONB,
    new_values JSONB,
    changes JSONB,
    ip_address INET,
    user_agent TEXT,
    api_endpoint VARCHAR(500),
    http_method VARCHAR(10),
    request_id VARCHAR(128),
    workspace_id UUID,
    folder_id UUID,
    status VARCHAR(50) NOT NULL,
    error_message TEXT,
    CONSTRAINT pk_audit_logs PRIMARY KEY (audit_id, created_at)
);
CREATE INDEX ix_audit_logs_action_created_at ON audit_logs (action, created_at);
CREATE INDEX ix_audit_logs_request_id_created_at ON audit_logs (request_id, created_at);
CREATE INDEX ix_audit_logs_resource_type_resource_id_created_at ON audit_logs (resource_type, resource_id, created_at);
CREATE INDEX ix_audit_logs_subscription_id_created_at_audit_id ON audit_logs (subscription_id, created_at, audit_id);
CREATE INDEX ix_audit_logs_user_id_created_at ON audit_logs (user_id, created_at);
CREATE INDEX ix_audit_logs_workspace_id_created_at ON audit_logs (workspace_id, created_at);

CREATE TABLE execution_logs (
    log_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    subscription_id UUID,
    execution_id UUID NOT NULL,
    execution_type VARCHAR(50) NOT NULL,
    workflow_id UUID,
    job_id UUID,
    jobpackage_id UUID,
    node_id VARCHAR(255),
    log_level VARCHAR(20) NOT NULL,
    log_message TEXT NOT NULL,
    log_details JSONB,
    duration_ms INTEGER,
    rows_processed BIGINT,
    memory_used_mb NUMERIC(10, 2),
    cpu_percent NUMERIC(5, 2),
    status VARCHAR(50),
    error_code VARCHAR(100),
    error_details JSONB,
    triggered_by UUID,
    CONSTRAINT pk_execution_logs PRIMARY KEY (log_id, created_at)
);
CREATE INDEX ix_execution_logs_execution_id_created_at ON execution_logs (execution_id, created_at);
CREATE INDEX ix_execution_logs_log_level_created_at ON execution_logs (log_level, created_at) WHERE log_level IN ('ERROR', 'CRITICAL');
CREATE INDEX ix_execution_logs_subscription_id_created_at_log_id ON execution_logs (subscription_id, created_at, log_id);
CREATE INDEX ix_execution_logs_workflow_id_created_at ON execution_logs (workflow_id, created_at);

CREATE TABLE node_execution_logs (
    log_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    subscription_id UUID,
    execution_id UUID NOT NULL,
    execution_type VARCHAR(50) NOT NULL,
    workflow_id UUID,
    job_id UUID,
    jobpackage_id UUID,
    node_id VARCHAR(255),
    log_level VARCHAR(20) NOT NULL,
    log_message TEXT NOT NULL,
    log_details JSONB,
    duration_ms INTEGER,
    rows_processed BIGINT,
    memory_used_mb NUMERIC(10, 2),
    cpu_percent NUMERIC(5, 2),
    status VARCHAR(50),
    error_code VARCHAR(100),
    error_details JSONB,
    triggered_by UUID,
    CONSTRAINT pk_node_execution_logs PRIMARY KEY (log_id, created_at)
);
CREATE INDEX ix_node_execution_logs_execution_id_created_at ON node_execution_logs (execution_id, created_at);
CREATE INDEX ix_node_execution_logs_log_level_created_at ON node_execution_logs (log_level, created_at) WHERE log_level IN ('ERROR', 'CRITICAL');
CREATE INDEX ix_node_execution_logs_subscription_id_created_at_log_id ON node_execution_logs (subscription_id, created_at, log_id);
CREATE INDEX ix_node_execution_logs_workflow_id_created_at ON node_execution_logs (workflow_id, created_at);

CREATE TABLE server_logs (
    log_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    request_id VARCHAR(128) NOT NULL,
    http_method VARCHAR(10),
    endpoint VARCHAR(500),
    query_params JSONB,
    user_id UUID,
    subscription_id UUID,
    auth_method VARCHAR(50),
    request_body JSONB,
    response_status INTEGER,
    response_body JSONB,
    response_time_ms INTEGER,
    ip_address INET,
    user_agent TEXT,
    referer TEXT,
    error_message TEXT,
    error_traceback TEXT,
    CONSTRAINT pk_server_logs PRIMARY KEY (log_id, created_at)
);
CREATE INDEX ix_server_logs_request_id_created_at ON server_logs (request_id, created_at);
CREATE INDEX ix_server_logs_response_status_created_at ON server_logs (response_status, created_at) WHERE response_status >= 400;
CREATE INDEX ix_server_logs_subscription_id_created_at_log_id ON server_logs (subscription_id, created_at, log_id);
CREATE INDEX ix_server_logs_user_id_created_at ON server_logs (user_id, created_at);

CREATE TABLE data_change_history (
    change_id UUID NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    subscription_id UUID,
    table_name VARCHAR(100) NOT NULL,
    record_id UUID NOT NULL,
    record_name VARCHAR(500),
    change_type VARCHAR(20) NOT NULL,
    old_data JSONB,
    new_data JSONB,
    diff JSONB,
    changed_by UUID,
    change_reason TEXT,
    version_number INTEGER NOT NULL,
    CONSTRAINT pk_data_change_history PRIMARY KEY (change_id, changed_at)
);
CREATE INDEX ix_data_change_history_changed_by_changed_at ON data_change_history (changed_by, changed_at);
CREATE INDEX ix_data_change_history_subscription_id_changed_at_change_id ON data_change_history (subscription_id, changed_at, change_id);
CREATE INDEX ix_data_change_history_table_name_record_id_version_number ON data_change_history (table_name, record_id, version_number);
