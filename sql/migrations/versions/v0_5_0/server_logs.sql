-- Requests to a platform's own servers, which it posts. The origin of older rows is null: Annals recorded them itself.

ALTER TABLE server_logs
    ADD COLUMN occurred_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN origin TEXT,
    ADD COLUMN source VARCHAR(200),
    ADD COLUMN actor_id VARCHAR(255),
    ADD COLUMN received_request_id VARCHAR(128);

CREATE INDEX ix_server_logs_occurred_at
    ON server_logs (
        subscription_id, (CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END), log_id
    );
-- Either origin may be the rare one: a platform may post far more requests than it sends to Annals, or none.
CREATE INDEX ix_server_logs_origin
    ON server_logs (
        subscription_id, (CASE WHEN origin IS NULL THEN 'annals' ELSE origin END), created_at, log_id
    );
CREATE INDEX ix_server_logs_source
    ON server_logs (subscription_id, source, created_at, log_id) WHERE source IS NOT NULL;
CREATE INDEX ix_server_logs_actor_id
    ON server_logs (subscription_id, actor_id, created_at, log_id) WHERE actor_id IS NOT NULL;
CREATE INDEX ix_server_logs_received_request_id
    ON server_logs (subscription_id, received_request_id, created_at, log_id) WHERE received_request_id IS NOT NULL;
