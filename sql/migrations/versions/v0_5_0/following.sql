-- The order in which rows of logs were committed. `sql/models/following.py` describes the tables.
--
-- Who writes rows of a log adds a row to the queue in the same transaction. The sequencer takes committed rows from the
-- queue and gives each the next position of its subscription. No reader who goes on from a position misses a row: a
-- transaction that commits later gets a later position, whatever its times and ids are.

CREATE TABLE log_queue (
    queued BIGINT GENERATED ALWAYS AS IDENTITY NOT NULL,
    log VARCHAR(100) NOT NULL,
    subscription_id UUID NOT NULL,
    first_id UUID NOT NULL,
    last_id UUID NOT NULL,
    first_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    rows INTEGER NOT NULL,
    queued_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_log_queue PRIMARY KEY (queued),
    CONSTRAINT ck_log_queue_log
        CHECK (log IN ('audit_logs', 'data_change_history', 'execution_logs', 'server_logs')),
    CONSTRAINT ck_log_queue_rows
        CHECK (rows > 0 AND (rows = 1 OR log NOT IN ('audit_logs', 'data_change_history')))
);

-- One position for each row of the audit log and the change history together.
CREATE TABLE log_entries (
    subscription_id UUID NOT NULL,
    position BIGINT NOT NULL,
    log VARCHAR(100) NOT NULL,
    row_id UUID NOT NULL,
    row_at TIMESTAMP WITH TIME ZONE NOT NULL,
    placed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_log_entries PRIMARY KEY (subscription_id, position)
);

-- One position for all rows that a transaction added to the execution logs, or to the server log.
CREATE TABLE log_batches (
    subscription_id UUID NOT NULL,
    position BIGINT NOT NULL,
    log VARCHAR(100) NOT NULL,
    first_id UUID NOT NULL,
    last_id UUID NOT NULL,
    first_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    rows INTEGER NOT NULL,
    placed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_log_batches PRIMARY KEY (subscription_id, position)
);

-- The next positions of a subscription. They are kept apart from the entries, because old entries expire.
CREATE TABLE log_trees (
    subscription_id UUID NOT NULL,
    size BIGINT NOT NULL,
    batches BIGINT NOT NULL,
    CONSTRAINT pk_log_trees PRIMARY KEY (subscription_id)
);

DO $walls$
DECLARE
    v_table TEXT;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['log_queue', 'log_entries', 'log_batches', 'log_trees'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format(
            'CREATE POLICY subscription ON %I USING '
            '(current_setting(''annals.scope'', true) IN (''platform'', subscription_id::text))',
            v_table
        );
    END LOOP;
    FOREACH v_table IN ARRAY ARRAY['log_entries', 'log_batches'] LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting()',
            v_table
        );
    END LOOP;
END
$walls$;

GRANT USAGE ON SCHEMA public TO annals_sealer;
GRANT SELECT ON log_queue, log_entries, log_batches, log_trees TO annals_service, annals_retention, annals_sealer;
GRANT INSERT ON log_queue TO annals_service, annals_ingest;
GRANT DELETE ON log_queue TO annals_sealer;
GRANT INSERT ON log_entries, log_batches TO annals_sealer;
GRANT INSERT, UPDATE ON log_trees TO annals_sealer;

-- A trigger, so that no statement that adds a row to these logs can forget the queue.
CREATE FUNCTION queue_audit_row() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $queue$
BEGIN
    INSERT INTO public.log_queue (log, subscription_id, first_id, last_id, first_at, last_at, rows)
    VALUES (
        'audit_logs', coalesce(NEW.subscription_id, '00000000-0000-0000-0000-000000000000'),
        NEW.audit_id, NEW.audit_id, NEW.created_at, NEW.created_at, 1
    );
    RETURN NULL;
END
$queue$;

CREATE FUNCTION queue_data_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $queue$
BEGIN
    INSERT INTO public.log_queue (log, subscription_id, first_id, last_id, first_at, last_at, rows)
    VALUES (
        'data_change_history', coalesce(NEW.subscription_id, '00000000-0000-0000-0000-000000000000'),
        NEW.change_id, NEW.change_id, NEW.changed_at, NEW.changed_at, 1
    );
    RETURN NULL;
END
$queue$;

CREATE TRIGGER queue_row AFTER INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION queue_audit_row();
CREATE TRIGGER queue_row AFTER INSERT ON data_change_history FOR EACH ROW EXECUTE FUNCTION queue_data_change();

-- Delete positions of a log whose rows are gone, among p_limit ones after p_after; return the last one that was looked
-- at, or null if there are no more with rows from before p_until. A row that is kept also keeps its position.
CREATE FUNCTION delete_gone_positions(
    p_subscription_id UUID, p_log TEXT, p_until TIMESTAMP WITH TIME ZONE, p_after BIGINT, p_limit INTEGER
) RETURNS BIGINT LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $delete$
DECLARE
    v_last BIGINT;
BEGIN
    IF p_log IN ('audit_logs', 'data_change_history') THEN
        WITH looked AS MATERIALIZED (
            SELECT position, row_id, row_at FROM public.log_entries
            WHERE subscription_id = p_subscription_id AND log = p_log AND position > p_after
            ORDER BY position LIMIT p_limit
        ), gone AS (
            DELETE FROM public.log_entries AS e USING looked AS f
            WHERE e.subscription_id = p_subscription_id AND e.position = f.position AND f.row_at < p_until
                AND NOT CASE p_log
                    WHEN 'audit_logs' THEN EXISTS (
                        SELECT FROM public.audit_logs AS r WHERE r.audit_id = f.row_id AND r.created_at = f.row_at
                    )
                    ELSE EXISTS (
                        SELECT FROM public.data_change_history AS r
                        WHERE r.change_id = f.row_id AND r.changed_at = f.row_at
                    )
                END
        )
        SELECT CASE WHEN min(row_at) < p_until THEN max(position) END INTO v_last FROM looked;
    ELSE
        WITH looked AS MATERIALIZED (
            SELECT position, first_id, last_id, first_at, last_at FROM public.log_batches
            WHERE subscription_id = p_subscription_id AND log = p_log AND position > p_after
            ORDER BY position LIMIT p_limit
        ), gone AS (
            DELETE FROM public.log_batches AS b USING looked AS f
            WHERE b.subscription_id = p_subscription_id AND b.position = f.position AND f.last_at < p_until
                AND NOT CASE p_log
                    WHEN 'server_logs' THEN EXISTS (
                        SELECT FROM public.server_logs AS r
                        WHERE r.created_at BETWEEN f.first_at AND f.last_at
                            AND r.log_id BETWEEN f.first_id AND f.last_id
                    )
                    ELSE EXISTS (
                        SELECT FROM public.execution_logs AS r
                        WHERE r.created_at BETWEEN f.first_at AND f.last_at
                            AND r.log_id BETWEEN f.first_id AND f.last_id
                    ) OR EXISTS (
                        SELECT FROM public.node_execution_logs AS r
                        WHERE r.created_at BETWEEN f.first_at AND f.last_at
                            AND r.log_id BETWEEN f.first_id AND f.last_id
                    )
                END
        )
        SELECT CASE WHEN min(first_at) < p_until THEN max(position) END INTO v_last FROM looked;
    END IF;
    RETURN v_last;
END
$delete$;
REVOKE EXECUTE ON FUNCTION delete_gone_positions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_gone_positions TO annals_retention;

-- The rows of older versions, in the order of their times. Rows of the execution logs and the server log are not
-- queued: their ids are not those of batches.
INSERT INTO log_queue (log, subscription_id, first_id, last_id, first_at, last_at, rows)
SELECT log, coalesce(subscription_id, '00000000-0000-0000-0000-000000000000'), row_id, row_id, row_at, row_at, 1
FROM (
    SELECT 'audit_logs' AS log, subscription_id, audit_id AS row_id, created_at AS row_at FROM audit_logs
    UNION ALL
    SELECT 'data_change_history', subscription_id, change_id, changed_at FROM data_change_history
) AS old
ORDER BY row_at, row_id;
