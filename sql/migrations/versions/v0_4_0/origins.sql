-- Where an audit event comes from: `posted` by a platform, or recorded by Annals itself. The column is null in rows
-- of older versions, whose origin follows from their request; `sql/models/logs.py` describes it.

ALTER TABLE audit_logs ADD COLUMN origin TEXT;

CREATE INDEX ix_audit_logs_posted ON audit_logs (subscription_id, created_at, audit_id)
    WHERE COALESCE(origin, CASE
        WHEN http_method = 'POST' AND api_endpoint LIKE '/v1/subscriptions/%/audit-logs'
            THEN CASE WHEN action <> 'LOGIN' AND (status = 'success' OR resource_type <> 'audit_log')
                THEN 'posted' END
        WHEN http_method IS NOT NULL THEN 'annals'
    END) = 'posted';
