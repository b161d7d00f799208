-- Figures of executions by whole days, which a scheduled job counts. `sql/models/execution_figures.py` describes the
-- tables. They follow from the execution logs, and outlive the rows of nodes.

CREATE TABLE execution_figures (
    subscription_id UUID NOT NULL,
    day DATE NOT NULL,
    execution_type VARCHAR(50) NOT NULL,
    number INTEGER NOT NULL,
    workflow_id UUID,
    job_id UUID,
    jobpackage_id UUID,
    node_id VARCHAR(255),
    status VARCHAR(50),
    error_code VARCHAR(100),
    events BIGINT NOT NULL,
    durations BIGINT NOT NULL,
    total_ms DOUBLE PRECISION,
    max_ms DOUBLE PRECISION,
    rows_processed NUMERIC NOT NULL,
    bins SMALLINT[] NOT NULL,
    counts INTEGER[] NOT NULL,
    CONSTRAINT pk_execution_figures PRIMARY KEY (subscription_id, day, execution_type, number),
    CONSTRAINT fk_execution_figures_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);

CREATE TABLE execution_figure_days (
    subscription_id UUID NOT NULL,
    day DATE NOT NULL,
    execution_type VARCHAR(50) NOT NULL,
    is_stale BOOLEAN NOT NULL,
    events BIGINT NOT NULL,
    first_arrival TIMESTAMP WITH TIME ZONE,
    last_arrival TIMESTAMP WITH TIME ZONE,
    counted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_execution_figure_days PRIMARY KEY (subscription_id, day, execution_type),
    CONSTRAINT fk_execution_figure_days_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE INDEX ix_execution_figure_days_stale ON execution_figure_days (subscription_id, day) WHERE is_stale;

CREATE TABLE execution_figure_positions (
    subscription_id UUID NOT NULL,
    position BIGINT NOT NULL,
    CONSTRAINT pk_execution_figure_positions PRIMARY KEY (subscription_id),
    CONSTRAINT fk_execution_figure_positions_subscription_id
        FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);

DO $walls$
DECLARE
    v_table TEXT;
BEGIN
    FOREACH v_table IN ARRAY ARRAY[
        'execution_figures', 'execution_figure_days', 'execution_figure_positions'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format(
            'CREATE POLICY subscription ON %I USING '
            '(current_setting(''annals.scope'', true) IN (''platform'', subscription_id::text))',
            v_table
        );
    END LOOP;
END
$walls$;

GRANT SELECT ON execution_figures, execution_figure_days, execution_figure_positions
    TO annals_service, annals_retention;
GRANT INSERT, DELETE ON execution_figures TO annals_service;
GRANT INSERT, UPDATE, DELETE ON execution_figure_days TO annals_service;
GRANT INSERT, UPDATE ON execution_figure_positions TO annals_service;
