-- Indexes of filters by which logs and deletions could not be searched, in the order of their pages. Columns that most
-- rows leave empty are indexed where they are set, so that other rows cost nothing.

CREATE INDEX ix_audit_logs_username
    ON audit_logs (subscription_id, username, created_at, audit_id) WHERE username IS NOT NULL;
CREATE INDEX ix_audit_logs_folder_id
    ON audit_logs (subscription_id, folder_id, created_at, audit_id) WHERE folder_id IS NOT NULL;
CREATE INDEX ix_audit_logs_ip_address
    ON audit_logs (subscription_id, ip_address, created_at, audit_id) WHERE ip_address IS NOT NULL;

CREATE INDEX ix_execution_logs_jobpackage_id
    ON execution_logs (subscription_id, jobpackage_id, created_at, log_id) WHERE jobpackage_id IS NOT NULL;
CREATE INDEX ix_execution_logs_error_code
    ON execution_logs (subscription_id, error_code, created_at, log_id) WHERE error_code IS NOT NULL;
CREATE INDEX ix_execution_logs_triggered_by
    ON execution_logs (subscription_id, triggered_by, created_at, log_id) WHERE triggered_by IS NOT NULL;
CREATE INDEX ix_execution_logs_recorded_by
    ON execution_logs (subscription_id, recorded_by, created_at, log_id) WHERE recorded_by IS NOT NULL;
CREATE INDEX ix_execution_logs_request_id
    ON execution_logs (subscription_id, request_id, created_at, log_id) WHERE request_id IS NOT NULL;

CREATE INDEX ix_node_execution_logs_jobpackage_id
    ON node_execution_logs (subscription_id, jobpackage_id, created_at, log_id) WHERE jobpackage_id IS NOT NULL;
CREATE INDEX ix_node_execution_logs_error_code
    ON node_execution_logs (subscription_id, error_code, created_at, log_id) WHERE error_code IS NOT NULL;
CREATE INDEX ix_node_execution_logs_triggered_by
    ON node_execution_logs (subscription_id, triggered_by, created_at, log_id) WHERE triggered_by IS NOT NULL;
CREATE INDEX ix_node_execution_logs_recorded_by
    ON node_execution_logs (subscription_id, recorded_by, created_at, log_id) WHERE recorded_by IS NOT NULL;
CREATE INDEX ix_node_execution_logs_request_id
    ON node_execution_logs (subscription_id, request_id, created_at, log_id) WHERE request_id IS NOT NULL;

-- An address may be shared by all subscriptions, such as that of a proxy. So their pages have an index of their own,
-- and the operator's page of all has another.
CREATE INDEX ix_server_logs_ip_address_of_subscription
    ON server_logs (subscription_id, ip_address, created_at) WHERE ip_address IS NOT NULL;
CREATE INDEX ix_server_logs_ip_address_created_at
    ON server_logs (ip_address, created_at) WHERE ip_address IS NOT NULL;

CREATE INDEX ix_data_change_history_request_id
    ON data_change_history (subscription_id, request_id, changed_at, change_id) WHERE request_id IS NOT NULL;

CREATE INDEX ix_deletion_logs_deleted_by ON deletion_logs (subscription_id, deleted_by, deleted_at, deletion_id);
CREATE INDEX ix_deletion_logs_restored_by
    ON deletion_logs (subscription_id, restored_by, deleted_at, deletion_id) WHERE restored_by IS NOT NULL;
