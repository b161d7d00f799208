-- Pages of a log are planned without statistics of its times and subscriptions. Statistics are always older than
-- the newest rows: after many rows came at once, the planner took the newest window for empty, and the index of
-- time for as good as that of the filter. A filter that found nothing then read the whole window. Without
-- statistics the planner assumes that a window holds one row in two hundred, and takes the index of the filter.

DO $$
DECLARE
    log record;
    known record;
BEGIN
    FOR log IN
        -- The server log is not among them: its filters have indexes without the subscription.
        SELECT name, name::regclass AS oid, column_name FROM (VALUES
            ('audit_logs', 'created_at'), ('audit_logs', 'subscription_id'),
            ('data_change_history', 'changed_at'), ('data_change_history', 'subscription_id'),
            ('execution_logs', 'created_at'), ('execution_logs', 'subscription_id'),
            ('node_execution_logs', 'created_at'), ('node_execution_logs', 'subscription_id')
        ) AS logs (name, column_name)
    LOOP
        -- TimescaleDB does the same to the chunks, present and future.
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET STATISTICS 0', log.name, log.column_name);
        -- Statistics that are there stay as they are: they are removed, or else made anew as before. A chunk of
        -- which they are made anew is replaced by the next one.
        FOR known IN
            SELECT part.oid, part.relnamespace::regnamespace::text AS room, part.relname, stats.attname,
                stats.inherited
            FROM pg_class part
            JOIN pg_stats stats
                ON stats.schemaname = part.relnamespace::regnamespace::text AND stats.tablename = part.relname
            WHERE stats.attname = log.column_name
                AND (part.oid = log.oid
                    OR part.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = log.oid))
        LOOP
            IF current_setting('server_version_num')::int >= 180000 THEN
                EXECUTE 'SELECT pg_clear_attribute_stats($1, $2, $3, $4)'
                    USING known.room, known.relname::text, known.attname::text, known.inherited;
            ELSIF NOT known.inherited AND (known.oid <> log.oid
                OR NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = log.oid)) THEN
                EXECUTE format(
                    'ALTER TABLE %s ALTER COLUMN %I SET STATISTICS -1', known.oid::regclass, known.attname
                );
            END IF;
        END LOOP;
    END LOOP;
END
$$;
