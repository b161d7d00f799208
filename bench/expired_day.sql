-- Rows of a day of the server log, such as the service writes of saves, spread evenly over it.
INSERT INTO server_logs (
    log_id, created_at, request_id, http_method, endpoint, query_params, user_id, subscription_id,
    auth_method, request_body, response_status, response_body, response_time_ms, ip_address, user_agent,
    request_bytes, response_bytes
)
SELECT
    gen_random_uuid(), %(start)s + n * interval '1 day' / %(rows)s, gen_random_uuid()::text, 'POST',
    '/v1/subscriptions/' || md5((n %% 50)::text)::uuid || '/workflows/' || md5(n::text)::uuid || '/versions',
    jsonb_build_object('dry_run', n %% 2 = 0), md5((n %% 500)::text)::uuid, md5((n %% 50)::text)::uuid,
    'api_key',
    jsonb_build_object('data', jsonb_build_object('step', n, 'name', md5(n::text)), 'comment', 'Edit ' || n),
    201,
    jsonb_build_object('version_number', n %% 900, 'git_commit_hash', md5(n::text) || 'a1b2c3d4'),
    n %% 500, '10.20.30.40', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36',
    100 + n %% 1000, 500 + n %% 2000
FROM generate_series(0, %(rows)s - 1) AS n
