-- Whom a row names, what finds it, and what nobody can take back.

ALTER TABLE audit_logs ADD COLUMN on_behalf_of VARCHAR(255);
ALTER TABLE execution_logs ADD COLUMN recorded_by UUID;
ALTER TABLE execution_logs ADD COLUMN request_id VARCHAR(128);
ALTER TABLE node_execution_logs ADD COLUMN recorded_by UUID;
ALTER TABLE node_execution_logs ADD COLUMN request_id VARCHAR(128);
ALTER TABLE data_change_history ADD COLUMN request_id VARCHAR(128);
ALTER TABLE server_logs ADD COLUMN request_bytes BIGINT;
ALTER TABLE server_logs ADD COLUMN response_bytes BIGINT;
ALTER TABLE api_keys ADD COLUMN last_login_at TIMESTAMP WITH TIME ZONE;

-- Every filter of a log has an index, in the order of its pages. It begins with the subscription: what a platform
-- reports holds ids that others use as well, and one tenant's page must not read through the rows of another.
DROP INDEX ix_audit_logs_action_created_at;
DROP INDEX ix_audit_logs_request_id_created_at;
DROP INDEX ix_audit_logs_resource_type_resource_id_created_at;
DROP INDEX ix_audit_logs_user_id_created_at;
DROP INDEX ix_audit_logs_workspace_id_created_at;
CREATE INDEX ix_audit_logs_resource_type ON audit_logs (subscription_id, resource_type, created_at, audit_id);
CREATE INDEX ix_audit_logs_resource_id ON audit_logs (subscription_id, resource_id, created_at, audit_id);
CREATE INDEX ix_audit_logs_user_id ON audit_logs (subscription_id, user_id, created_at, audit_id);
CREATE INDEX ix_audit_logs_action ON audit_logs (subscription_id, action, created_at, audit_id);
CREATE INDEX ix_audit_logs_status
    ON audit_logs (subscription_id, status, created_at, audit_id) WHERE status <> 'success';
CREATE INDEX ix_audit_logs_workspace_id ON audit_logs (subscription_id, workspace_id, created_at, audit_id);
CREATE INDEX ix_audit_logs_request_id ON audit_logs (subscription_id, request_id, created_at, audit_id);
CREATE INDEX ix_audit_logs_created_at_audit_id
    ON audit_logs (created_at, audit_id) WHERE subscription_id IS NULL;

DROP INDEX ix_execution_logs_execution_id_created_at;
DROP INDEX ix_execution_logs_log_level_created_at;
DROP INDEX ix_execution_logs_workflow_id_created_at;
CREATE INDEX ix_execution_logs_execution_id ON execution_logs (subscription_id, execution_id, created_at, log_id);
CREATE INDEX ix_execution_logs_execution_type
    ON execution_logs (subscription_id, execution_type, created_at, log_id);
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

DROP INDEX ix_node_execution_logs_execution_id_created_at;
DROP INDEX ix_node_execution_logs_log_level_created_at;
DROP INDEX ix_node_execution_logs_workflow_id_created_at;
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

CREATE INDEX ix_server_logs_created_at_log_id ON server_logs (created_at, log_id);
CREATE INDEX ix_server_logs_subscription_id_response_status_created_at
    ON server_logs (subscription_id, response_status, created_at) WHERE response_status >= 400;
-- A class of statuses is found among the failures in the order of its pages, one status by the index before.
CREATE INDEX ix_server_logs_failures ON server_logs (created_at, log_id) WHERE response_status >= 400;
CREATE INDEX ix_server_logs_failures_of_subscription
    ON server_logs (subscription_id, created_at, log_id) WHERE response_status >= 400;
CREATE INDEX ix_server_logs_endpoint_created_at ON server_logs (endpoint, created_at);

DROP INDEX ix_data_change_history_changed_by_changed_at;
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
    CONSTRAINT fk_change_numbers_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
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
    CONSTRAINT fk_audit_policies_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);

GRANT SELECT ON change_numbers, audit_policies TO annals_retention;
GRANT SELECT, INSERT, UPDATE ON change_numbers TO annals_service;
GRANT SELECT, INSERT, DELETE ON audit_policies TO annals_service;

-- The second wall behind the grants. A grant that somebody adds by mistake, even a superuser's own hand, does
-- not rewrite a log: only what acts as the owner passes, which are the checked functions of retention.
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $refuse$
BEGIN
    IF current_user = 'annals_owner' THEN
        -- What a trigger FOR EACH STATEMENT returns is ignored.
        RETURN CASE WHEN TG_LEVEL = 'ROW' AND TG_OP = 'DELETE' THEN OLD WHEN TG_LEVEL = 'ROW' THEN NEW END;
    END IF;
    RAISE EXCEPTION '% on % is refused: a log is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$refuse$;
