-- A legal hold on a user also keeps the rows that a platform posted about this user, and those that the user sent.

CREATE OR REPLACE FUNCTION retention_log(
    p_log TEXT, OUT time_column TEXT, OUT id_column TEXT, OUT level TEXT, OUT levels TEXT[],
    OUT users TEXT[], OUT resources TEXT[]
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $log$
BEGIN
    SELECT known.time_column, known.id_column, known.level, known.levels, known.users, known.resources
    INTO time_column, id_column, level, levels, users, resources
    FROM (VALUES
        ('audit_logs', 'created_at', 'audit_id', '''user_actions''', ARRAY['user_actions'],
            ARRAY['r.user_id', 'lower(r.actor_id)'], ARRAY['lower(r.resource_id)', 'r.workspace_id', 'r.folder_id']),
        ('data_change_history', 'changed_at', 'change_id', '''data_changes''', ARRAY['data_changes'],
            ARRAY['r.changed_by', 'r.recorded_by'], ARRAY['r.record_id']),
        ('execution_logs', 'created_at', 'log_id',
            'CASE WHEN r.execution_type IN (''job'', ''jobpackage'') THEN r.execution_type ELSE ''workflow'' END',
            ARRAY['workflow', 'job', 'jobpackage'],
            ARRAY['r.triggered_by', 'r.recorded_by'], ARRAY['r.workflow_id', 'r.job_id', 'r.jobpackage_id']),
        ('node_execution_logs', 'created_at', 'log_id', '''node''', ARRAY['node'],
            ARRAY['r.triggered_by', 'r.recorded_by'], ARRAY['r.workflow_id', 'r.job_id', 'r.jobpackage_id']),
        -- The path of a resource is /v1/subscriptions/{subscription_id}/{collection}/{resource_id}.
        ('server_logs', 'created_at', 'log_id', '''server''', ARRAY['server'],
            ARRAY['r.user_id', 'r.actor_id'], ARRAY['split_part(lower(r.endpoint), ''/'', 6)'])
    ) AS known (log, time_column, id_column, level, levels, users, resources)
    WHERE known.log = p_log;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is no log that retention knows', p_log USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$log$;
