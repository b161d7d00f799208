-- Posted audit events as they were: their own time, actor, source and ids. `sql/models/logs.py` and
-- `sql/models/posted_events.py` describe the columns. A host of 0.4.0 leaves the new ones null.

ALTER TABLE audit_logs
    ALTER COLUMN action TYPE VARCHAR(200),
    ADD COLUMN occurred_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN actor_id VARCHAR(255),
    ADD COLUMN actor_name VARCHAR(255),
    ADD COLUMN actor_kind VARCHAR(10),
    ADD COLUMN source VARCHAR(200),
    ADD COLUMN event_id VARCHAR(255),
    ADD COLUMN received_request_id VARCHAR(128);

CREATE INDEX ix_audit_logs_occurred_at
    ON audit_logs (
        subscription_id, (CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END), audit_id
    );
CREATE INDEX ix_audit_logs_actor_id
    ON audit_logs (subscription_id, actor_id, created_at, audit_id) WHERE actor_id IS NOT NULL;
CREATE INDEX ix_audit_logs_actor_name
    ON audit_logs (subscription_id, actor_name, created_at, audit_id) WHERE actor_name IS NOT NULL;
CREATE INDEX ix_audit_logs_source
    ON audit_logs (subscription_id, source, created_at, audit_id) WHERE source IS NOT NULL;
CREATE INDEX ix_audit_logs_event_id
    ON audit_logs (subscription_id, event_id, created_at, audit_id) WHERE event_id IS NOT NULL;
CREATE INDEX ix_audit_logs_received_request_id
    ON audit_logs (subscription_id, received_request_id, created_at, audit_id) WHERE received_request_id IS NOT NULL;

CREATE TABLE reported_actors (
    subscription_id UUID NOT NULL,
    actor_id VARCHAR(255) NOT NULL,
    email VARCHAR(255),
    erased_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_reported_actors PRIMARY KEY (subscription_id, actor_id),
    CONSTRAINT fk_reported_actors_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);

CREATE TABLE reported_event_ids (
    digest BYTEA NOT NULL,
    subscription_id UUID NOT NULL,
    audit_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_reported_event_ids PRIMARY KEY (digest),
    CONSTRAINT fk_reported_event_ids_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE INDEX ix_reported_event_ids_subscription_id_created_at ON reported_event_ids (subscription_id, created_at);
CREATE INDEX ix_reported_event_ids_created_at ON reported_event_ids (created_at);

GRANT SELECT ON reported_actors, reported_event_ids TO annals_service, annals_retention;
GRANT INSERT ON reported_actors, reported_event_ids TO annals_service;
GRANT UPDATE ON reported_actors TO annals_service;
GRANT DELETE ON reported_event_ids TO annals_retention;

ALTER TABLE reported_actors ENABLE ROW LEVEL SECURITY;
CREATE POLICY subscription ON reported_actors
    USING (current_setting('annals.scope', true) IN ('platform', subscription_id::text));
ALTER TABLE reported_event_ids ENABLE ROW LEVEL SECURITY;
CREATE POLICY subscription ON reported_event_ids
    USING (current_setting('annals.scope', true) IN ('platform', subscription_id::text));
