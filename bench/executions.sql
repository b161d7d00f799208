-- Events of %(executions)s executions of a subscription, and of %(nodes)s nodes, over %(days)s days before %(at)s.
-- Durations are log-normal, by workflow and node; one in sixteen fails. A node has 1 to 300 s, a workflow some minutes.
INSERT INTO execution_logs (log_id, created_at, subscription_id, execution_id, execution_type, workflow_id, log_level,
    log_message, duration_ms, rows_processed, status, error_code)
SELECT gen_random_uuid(), %(at)s::timestamptz - (n + 0.5) * %(days)s * INTERVAL '1 day' / %(executions)s,
    %(subscription_id)s, 'run-' || n, 'workflow', lpad(to_hex(1 + n %% 40), 32, '0')::uuid,
    CASE WHEN n %% 16 = 0 THEN 'ERROR' ELSE 'INFO' END, 'ended',
    round(exp(11 + (n %% 40) / 20.0 + 0.5 * random_normal())), n %% 5000,
    CASE WHEN n %% 16 = 0 THEN 'failed' WHEN n %% 50 = 7 THEN 'cancelled' ELSE 'success' END,
    CASE WHEN n %% 16 = 0 THEN 'E' || n %% 7 END
FROM generate_series(%(executions)s - 1, 0, -1) AS n;
INSERT INTO node_execution_logs (log_id, created_at, subscription_id, execution_id, execution_type, workflow_id, node_id,
    log_level, log_message, duration_ms, rows_processed, status, error_code)
SELECT gen_random_uuid(), %(at)s::timestamptz - (n + 0.5) * %(days)s * INTERVAL '1 day' / %(nodes)s,
    %(subscription_id)s, 'run-' || n / 5, 'node', lpad(to_hex(1 + n / 5 %% 40), 32, '0')::uuid, 'node-' || n %% 6,
    CASE WHEN n %% 16 = 0 THEN 'ERROR' ELSE 'INFO' END, 'ended',
    round(exp(7 + n %% 6 + 0.5 * random_normal())), n %% 5000,
    CASE WHEN n %% 16 = 0 THEN 'failed' WHEN n %% 50 = 7 THEN 'skipped' ELSE 'success' END,
    CASE WHEN n %% 16 = 0 THEN 'E' || n %% 7 END
FROM generate_series(%(nodes)s - 1, 0, -1) AS n;
