-- Rights that nobody needs are revoked. Records of job runs are deleted by the role of retention alone.

REVOKE DELETE ON job_runs, job_plans, job_schedules FROM annals_service;
REVOKE UPDATE ON job_plans, job_schedules FROM annals_service;
REVOKE INSERT ON execution_logs, node_execution_logs FROM annals_ingest;
GRANT DELETE ON job_runs, job_plans TO annals_retention;
