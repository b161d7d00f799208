-- Schedules, plans and runs of scheduled jobs. `sql/models/scheduled_jobs.py` describes them.

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
