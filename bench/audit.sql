-- %(events)s audit events of a subscription over %(days)s days before %(at)s: eight actions, five kinds, forty users,
-- most events successful, as a platform with users has them.
INSERT INTO audit_logs (audit_id, created_at, subscription_id, user_id, username, action, resource_type, resource_id,
    resource_name, status, request_id)
SELECT gen_random_uuid(), %(at)s::timestamptz - (n + 0.5) * %(days)s * INTERVAL '1 day' / %(events)s,
    %(subscription_id)s, lpad(to_hex(1 + n %% 40), 32, '0')::uuid, 'user-' || n %% 40,
    (ARRAY['UPDATE', 'UPDATE', 'UPDATE', 'CHECK_OUT', 'CHECK_IN', 'CREATE', 'PUBLISH', 'DELETE'])[1 + n / 3 %% 8],
    (ARRAY['workflow', 'workflow', 'job', 'connector', 'folder'])[1 + n / 7 %% 5],
    lpad(to_hex(n %% 1000), 32, '0'), 'resource ' || n %% 1000,
    CASE WHEN n %% 50 = 0 THEN 'failed' WHEN n %% 90 = 1 THEN 'unauthorized' ELSE 'success' END, 'r-' || n
FROM generate_series(%(events)s - 1, 0, -1) AS n;
