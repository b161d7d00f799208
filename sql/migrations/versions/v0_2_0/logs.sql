-- The five append-only logs, the numbers of data changes, and the audit policy. `sql/models/logs.py` describes them.
--
-- Every filter of a log has an index in the order of its pages. The index begins with the subscription: ids that a
-- platform reports are used by others as well, and one tenant's page must not read through the rows of another.

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
    on_behalf_of VARCHAR(255),
    CONSTRAINT pk_audit_logs PRIMARY KEY (audit_id, created_at)
);
CREATE INDEX ix_audit_logs_subscription_id_created_at_audit_id ON audit_logs (subscription_id, created_at, audit_id);
CREATE INDEX ix_audit_logs_resource_type ON audit_logs (subscription_id, resource_type, created_at, audit_id);
CREATE INDEX ix_audit_logs_resource_id ON audit_logs (subscription_id, resource_id, created_at, audit_id);
CREATE INDEX ix_audit_logs_user_id ON audit_logs (subscription_id, user_id, created_at, audit_id);
CREATE INDEX ix_audit_logs_action ON audit_logs (subscription_id, action, created_at, audit_id);
CREATE INDEX ix_audit_logs_status
    ON audit_logs (subscription_id, status, created_at, audit_id) WHERE status <> 'success';
CREATE INDEX ix_audit_logs_workspace_id ON audit_logs (subscription_id, workspace_id, created_at, audit_id);
CREATE INDEX ix_audit_logs_request_id ON audit_logs (subscription_id, request_id, created_at, audit_id);
CREATE INDEX ix_audit_logs_created_at_audit_id ON audit_logs (created_at, audit_id) WHERE subscription_id IS NULL;

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
    recorded_by UUID,
    request_id VARCHAR(128),
    CONSTRAINT pk_execution_logs PRIMARY KEY (log_id, created_at)
);
CREATE INDEX ix_execution_logs_subscription_id_created_at_log_id
    ON execution_logs (subscription_id, created_at, log_id);
CREATE INDEX ix_execution_logs_execution_id ON execution_logs (subscription_id, execution_id, created_at, log_id);
CREATE INDEX ix_execution_logs_execution_type ON execution_logs (subscription_id, execution_type, created_at, log_id);
CREATE INDEX ix_execution_logs_workflow_id
    ON execution_logs (subscription_id, workflow_id, created_at, log_id) WHERE workflow_id IS NOT NULL;
CREATE INDEX ix_execution_logs_job_id
    ON execution_logs (subscription_id, job_id, created_at, log_id) WHERE job_id IS NOT NULL;
CREATE INDEX ix_execution_logs_node_id
    ON execution_logs (subscription_id, node_id, created_at, log_id) WHERE node_id IS NOT NULL;
CREATE INDEX ix_execution_logs_log_level
    ON execution_logs (subscription_id, log_level, created_at, log_id) WHERE log_level <> 'INFO';
CREATE INDEX ix_execution_logs_status
    ON execution_logs (subscription_id, status, created_at, log_id) WHERE status IN ('failed', 'cancelled');

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
    recorded_by UUID,
    request_id VARCHAR(128),
    CONSTRAINT pk_node_execution_logs PRIMARY KEY (log_id, created_at)
);
CREATE INDEX ix_node_execution_logs_subscription_id_created_at_log_id
    ON node_execution_logs (subscription_id, created_at, log_id);
CREATE INDEX ix_node_execution_logs_execution_id
    ON node_execution_logs (subscription_id, execution_id, created_at, log_id);
CREATE INDEX ix_node_execution_logs_workflow_id
    ON node_execution_logs (subscription_id, workflow_id, created_at, log_id) WHERE workflow_id IS NOT NULL;
CREATE INDEX ix_node_execution_logs_job_id
    ON node_execution_logs (subscription_id, job_id, created_at, log_id) WHERE job_id IS NOT NULL;
CREATE INDEX ix_node_execution_logs_node_id
    ON node_execution_logs (subscription_id, node_id, created_at, log_id) WHERE node_id IS NOT NULL;
CREATE INDEX ix_node_execution_logs_log_level
    ON node_execution_logs (subscription_id, log_level, created_at, log_id) WHERE log_level <> 'INFO';
CREATE INDEX ix_node_execution_logs_status
    ON node_execution_logs (subscription_id, status, created_at, log_id) WHERE status IN ('failed', 'cancelled');

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
    request_bytes BIGINT,
    response_bytes BIGINT,
    CONSTRAINT pk_server_logs PRIMARY KEY (log_id, created_at)
);
CREATE INDEX ix_server_logs_request_id_created_at ON server_logs (request_id, created_at);
CREATE INDEX ix_server_logs_response_status_created_at
    ON server_logs (response_status, created_at) WHERE response_status >= 400;
CREATE INDEX ix_server_logs_subscription_id_created_at_log_id ON server_logs (subscription_id, created_at, log_id);
CREATE INDEX ix_server_logs_user_id_created_at ON server_logs (user_id, created_at);
CREATE INDEX ix_server_logs_created_at_log_id ON server_logs (created_at, log_id);
CREATE INDEX ix_server_logs_subscription_id_response_status_created_at
    ON server_logs (subscription_id, response_status, created_at) WHERE response_status >= 400;
-- A page of a class of statuses is read from these two indexes of all failures; a page of one status is read from the
-- indexes with the status.
CREATE INDEX ix_server_logs_failures ON server_logs (created_at, log_id) WHERE response_status >= 400;
CREATE INDEX ix_server_logs_failures_of_subscription
    ON server_logs (subscription_id, created_at, log_id) WHERE response_status >= 400;
CREATE INDEX ix_server_logs_endpoint_created_at ON server_logs (endpoint, created_at);

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
    request_id VARCHAR(128),
    CONSTRAINT pk_data_change_history PRIMARY KEY (change_id, changed_at)
);
CREATE INDEX ix_data_change_history_subscription_id_changed_at_change_id
    ON data_change_history (subscription_id, changed_at, change_id);
CREATE INDEX ix_data_change_history_table_name_record_id_version_number
    ON data_change_history (table_name, record_id, version_number);
CREATE INDEX ix_data_change_history_table_name
    ON data_change_history (subscription_id, table_name, changed_at, change_id);
CREATE INDEX ix_data_change_history_record_id
    ON data_change_history (subscription_id, record_id, changed_at, change_id);
CREATE INDEX ix_data_change_history_changed_by
    ON data_change_history (subscription_id, changed_by, changed_at, change_id);

CREATE TABLE change_numbers (
    table_name VARCHAR(100) NOT NULL,
    record_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    changes INTEGER NOT NULL,
    CONSTRAINT pk_change_numbers PRIMARY KEY (table_name, record_id),
    CONSTRAINT fk_change_numbers_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE INDEX ix_change_numbers_subscription_id ON change_numbers (subscription_id);

CREATE TABLE audit_policies (
    subscription_id UUID NOT NULL,
    position INTEGER NOT NULL,
    resource_type VARCHAR(100) NOT NULL,
    action VARCHAR(50) NOT NULL,
    depth VARCHAR(20) NOT NULL,
    CONSTRAINT pk_audit_policies PRIMARY KEY (subscription_id, position),
    CONSTRAINT uq_audit_policies_subscription_id_resource_type_action UNIQUE (subscription_id, resource_type, action),
    CONSTRAINT ck_audit_policies_depth CHECK (depth IN ('none', 'metadata', 'changes', 'full')),
    CONSTRAINT fk_audit_policies_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);

-- The second wall behind the grants. Neither a role with a grant that somebody added by mistake nor a superuser can
-- rewrite a log: only the owner can, and so the checked functions of retention, which act as the owner.
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $refuse$
BEGIN
    IF current_user = 'annals_owner' THEN
        -- PostgreSQL ignores the value that a trigger FOR EACH STATEMENT returns.
        RETURN CASE WHEN TG_LEVEL = 'ROW' AND TG_OP = 'DELETE' THEN OLD WHEN TG_LEVEL = 'ROW' THEN NEW END;
    END IF;
    RAISE EXCEPTION '% on % is refused: a log is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$refuse$;

DO $append_only$
DECLARE
    v_log TEXT;
BEGIN
    FOREACH v_log IN ARRAY ARRAY[
        'audit_logs', 'execution_logs', 'node_execution_logs', 'server_logs', 'data_change_history'
    ] LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting()',
            v_log
        );
        -- Chunks have triggers for rows only: this one refuses a statement that bypasses the hypertable.
        EXECUTE format(
            'CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON %I '
            'FOR EACH ROW EXECUTE FUNCTION refuse_rewriting()',
            v_log
        );
    END LOOP;
END
$append_only$;
