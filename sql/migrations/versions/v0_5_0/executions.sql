-- Executions of other systems: ids and people are any texts, durations may be fractions or months long, and an event has
-- its own time beside that of its arrival. UUIDs from before keep their text, in lower case.

ALTER TABLE execution_logs
    ALTER COLUMN execution_id TYPE VARCHAR(255),
    ALTER COLUMN triggered_by TYPE VARCHAR(255),
    ALTER COLUMN duration_ms TYPE DOUBLE PRECISION,
    ADD COLUMN occurred_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN source VARCHAR(200),
    ADD COLUMN version_number INTEGER,
    ADD COLUMN git_commit_hash VARCHAR(40);
ALTER TABLE node_execution_logs
    ALTER COLUMN execution_id TYPE VARCHAR(255),
    ALTER COLUMN triggered_by TYPE VARCHAR(255),
    ALTER COLUMN duration_ms TYPE DOUBLE PRECISION,
    ADD COLUMN occurred_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN source VARCHAR(200),
    ADD COLUMN version_number INTEGER,
    ADD COLUMN git_commit_hash VARCHAR(40);

CREATE INDEX ix_execution_logs_occurred_at
    ON execution_logs (
        subscription_id, (CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END), log_id
    );
CREATE INDEX ix_execution_logs_source
    ON execution_logs (subscription_id, source, created_at, log_id) WHERE source IS NOT NULL;
CREATE INDEX ix_execution_logs_git_commit_hash
    ON execution_logs (subscription_id, git_commit_hash, created_at, log_id) WHERE git_commit_hash IS NOT NULL;
CREATE INDEX ix_node_execution_logs_occurred_at
    ON node_execution_logs (
        subscription_id, (CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END), log_id
    );
CREATE INDEX ix_node_execution_logs_source
    ON node_execution_logs (subscription_id, source, created_at, log_id) WHERE source IS NOT NULL;
CREATE INDEX ix_node_execution_logs_git_commit_hash
    ON node_execution_logs (subscription_id, git_commit_hash, created_at, log_id) WHERE git_commit_hash IS NOT NULL;

-- The rare states, of which there are more.
DROP INDEX ix_execution_logs_status;
CREATE INDEX ix_execution_logs_status ON execution_logs (subscription_id, status, created_at, log_id)
    WHERE status IN ('failed', 'cancelled', 'timed_out', 'skipped', 'retrying');
DROP INDEX ix_node_execution_logs_status;
CREATE INDEX ix_node_execution_logs_status ON node_execution_logs (subscription_id, status, created_at, log_id)
    WHERE status IN ('failed', 'cancelled', 'timed_out', 'skipped', 'retrying');
