-- The specification's defaults of the logs' columns, for programs that write rows in SQL, as its own examples do. Annals
-- itself gives each row its id and time. The ids of such rows are random, so `created_at` alone orders them.

ALTER TABLE audit_logs
    ALTER COLUMN audit_id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN status SET DEFAULT 'success';
ALTER TABLE execution_logs
    ALTER COLUMN log_id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN log_details SET DEFAULT '{}'::jsonb;
ALTER TABLE node_execution_logs
    ALTER COLUMN log_id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN log_details SET DEFAULT '{}'::jsonb;
ALTER TABLE server_logs
    ALTER COLUMN log_id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN created_at SET DEFAULT now();
ALTER TABLE data_change_history
    ALTER COLUMN change_id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN changed_at SET DEFAULT now(),
    ALTER COLUMN version_number SET DEFAULT 1;
