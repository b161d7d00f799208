-- Results kept for retries. `sql/models/idempotency.py` describes the table.

CREATE TABLE idempotency_keys (
    attempt_id BYTEA NOT NULL,
    subscription_id UUID,
    fingerprint BYTEA NOT NULL,
    result BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (attempt_id),
    CONSTRAINT fk_idempotency_keys_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE INDEX ix_idempotency_keys_subscription_id ON idempotency_keys (subscription_id);
