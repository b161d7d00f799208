-- How often the same refusal was repeated: repeats within a window are one row. `sql/models/logs.py` describes it.

ALTER TABLE audit_logs ADD COLUMN occurrences INTEGER NOT NULL DEFAULT 1;
ALTER TABLE server_logs ADD COLUMN occurrences INTEGER NOT NULL DEFAULT 1;
