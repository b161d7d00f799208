-- Runs of jobs, what they keep and for how long, what they must not touch, and what they took away.

CREATE TABLE job_schedules (
    job VARCHAR(100) NOT NULL,
    cron TEXT,
    time_zone TEXT,
    is_paused BOOLEAN NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_by VARCHAR(255) NOT NULL,
    CONSTRAINT pk_job_schedules PRIMARY KEY (job, changed_at)
);

CREATE TABLE job_plans (
    plan_id UUID NOT NULL,
    job VARCHAR(100) NOT NULL,
    planned_at TIMESTAMP WITH TIME ZONE NOT NULL,
    made_by VARCHAR(255) NOT NULL,
    content JSONB NOT NULL,
    digest VARCHAR(64) NOT NULL,
    CONSTRAINT pk_job_plans PRIMARY KEY (plan_id)
);
CREATE INDEX ix_job_plans_planned_at ON job_plans (planned_at);

CREATE TABLE job_runs (
    run_id UUID NOT NULL,
    job VARCHAR(100) NOT NULL,
    scheduled_for TIMESTAMP WITH TIME ZONE NOT NULL,
    trigger VARCHAR(20) NOT NULL,
    state VARCHAR(20) NOT NULL,
    requested_by VARCHAR(255),
    plan_id UUID,
    process VARCHAR(255),
    started_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    counts JSONB,
    error TEXT,
    CONSTRAINT pk_job_runs PRIMARY KEY (run_id),
    CONSTRAINT uq_job_runs_job_scheduled_for UNIQUE (job, scheduled_for),
    CONSTRAINT ck_job_runs_trigger CHECK (trigger IN ('schedule', 'operator')),
    CONSTRAINT ck_job_runs_state
        CHECK (state IN ('waiting', 'running', 'succeeded', 'failed', 'interrupted', 'missed')),
    CONSTRAINT ck_job_runs_started CHECK (
        (started_at IS NOT NULL) = (state IN ('running', 'succeeded', 'failed', 'interrupted'))
        AND (started_at IS NULL) = (process IS NULL)
    ),
    CONSTRAINT ck_job_runs_ended CHECK ((ended_at IS NULL) = (state IN ('waiting', 'running')))
);
CREATE INDEX ix_job_runs_scheduled_for_run_id ON job_runs (scheduled_for, run_id);
CREATE INDEX ix_job_runs_open ON job_runs (job, scheduled_for) WHERE state IN ('waiting', 'running');
CREATE INDEX ix_job_runs_succeeded ON job_runs (job, scheduled_for) WHERE state = 'succeeded';

CREATE TABLE retention_policies (
    policy_id UUID NOT NULL,
    subscription_id UUID,
    level VARCHAR(20) NOT NULL,
    keep_days INTEGER,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_by VARCHAR(255) NOT NULL,
    CONSTRAINT pk_retention_policies PRIMARY KEY (policy_id),
    CONSTRAINT ck_retention_policies_level CHECK (
        level IN ('server', 'workflow', 'node', 'job', 'jobpackage', 'user_actions', 'data_changes')
    ),
    CONSTRAINT ck_retention_policies_keep_days CHECK (keep_days BETWEEN 1 AND 36500),
    CONSTRAINT fk_retention_policies_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE UNIQUE INDEX uq_retention_policies_platform ON retention_policies (level) WHERE subscription_id IS NULL;
CREATE UNIQUE INDEX uq_retention_policies_subscription_id_level ON retention_policies (subscription_id, level);

-- The specification's table; without a number of days a level is kept for good.
INSERT INTO retention_policies (policy_id, level, keep_days, changed_at, changed_by)
SELECT gen_random_uuid(), level, keep_days, TIMESTAMP WITH TIME ZONE '2026-01-01 00:00:00Z', 'system:default'
FROM (VALUES
    ('server', 90), ('workflow', 365), ('node', 90), ('job', 365), ('jobpackage', 365),
    ('user_actions', NULL::integer), ('data_changes', NULL)
) AS specified (level, keep_days);

CREATE TABLE legal_holds (
    hold_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    resource_type VARCHAR(50),
    resource_id UUID,
    user_id UUID,
    reason TEXT NOT NULL,
    placed_by VARCHAR(255) NOT NULL,
    placed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    released_by VARCHAR(255),
    released_at TIMESTAMP WITH TIME ZONE,
    release_reason TEXT,
    CONSTRAINT pk_legal_holds PRIMARY KEY (hold_id),
    CONSTRAINT ck_legal_holds_scope CHECK (
        (resource_type IS NULL) = (resource_id IS NULL) AND num_nonnulls(resource_id, user_id) <= 1
    ),
    CONSTRAINT ck_legal_holds_released CHECK ((released_at IS NULL) = (released_by IS NULL)),
    CONSTRAINT fk_legal_holds_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE INDEX ix_legal_holds_subscription_id_hold_id ON legal_holds (subscription_id, hold_id);
CREATE INDEX ix_legal_holds_running ON legal_holds (subscription_id) WHERE released_at IS NULL;

CREATE TABLE legal_hold_moves (
    hold_id UUID NOT NULL,
    resource_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    CONSTRAINT pk_legal_hold_moves PRIMARY KEY (hold_id, resource_id),
    CONSTRAINT fk_legal_hold_moves_hold_id FOREIGN KEY(hold_id) REFERENCES legal_holds (hold_id),
    CONSTRAINT fk_legal_hold_moves_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE INDEX ix_legal_hold_moves_subscription_id_resource_id
    ON legal_hold_moves (subscription_id, resource_id);

CREATE TABLE archives (
    archive_id UUID NOT NULL,
    log VARCHAR(100) NOT NULL,
    subscription_id UUID,
    range_start TIMESTAMP WITH TIME ZONE NOT NULL,
    range_end TIMESTAMP WITH TIME ZONE NOT NULL,
    rows BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    sha256 VARCHAR(64) NOT NULL,
    location TEXT NOT NULL,
    run_id UUID,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_archives PRIMARY KEY (archive_id)
);
CREATE INDEX ix_archives_log_range_start ON archives (log, range_start);
CREATE INDEX ix_archives_made_at_archive_id ON archives (made_at, archive_id);
CREATE INDEX ix_archives_subscription_id ON archives (subscription_id);

ALTER TABLE subscriptions
    ADD COLUMN closed_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN closed_by VARCHAR(255),
    ADD COLUMN close_reason TEXT,
    ADD COLUMN purge_after TIMESTAMP WITH TIME ZONE,
    ADD COLUMN exported_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN purged_at TIMESTAMP WITH TIME ZONE,
    ADD CONSTRAINT ck_subscriptions_closed CHECK (
        (closed_at IS NULL) = (purge_after IS NULL) AND (closed_at IS NULL) = (closed_by IS NULL)
        AND (exported_at IS NULL OR closed_at IS NOT NULL)
        AND (purged_at IS NULL OR exported_at IS NOT NULL)
    );
CREATE INDEX ix_subscriptions_closed ON subscriptions (purge_after)
    WHERE closed_at IS NOT NULL AND purged_at IS NULL;

ALTER TABLE repositories
    ADD COLUMN packs INTEGER,
    ADD COLUMN bytes BIGINT,
    ADD COLUMN measured_at TIMESTAMP WITH TIME ZONE;

-- What runs out is looked for by when it does.
CREATE INDEX ix_check_outs_expires_at ON check_outs (expires_at) WHERE released_at IS NULL;
CREATE INDEX ix_api_keys_expires_at ON api_keys (expires_at) WHERE expires_at IS NOT NULL;

GRANT SELECT ON
    job_schedules, job_plans, job_runs, retention_policies, legal_holds, legal_hold_moves, archives
TO annals_service, annals_retention;
GRANT INSERT, UPDATE, DELETE ON job_schedules, job_plans, job_runs, retention_policies TO annals_service;
GRANT INSERT ON legal_holds, legal_hold_moves, archives TO annals_service;
GRANT INSERT ON archives TO annals_retention;
GRANT UPDATE (released_by, released_at, release_reason) ON legal_holds TO annals_service;
GRANT DELETE ON idempotency_keys TO annals_service;
