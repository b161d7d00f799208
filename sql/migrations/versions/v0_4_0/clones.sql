-- Who may clone a subscription in which something was deleted for good. `sql/models/tenancy.py` describes it.

ALTER TABLE subscriptions
    ADD COLUMN clone_after_purge VARCHAR(10) NOT NULL DEFAULT 'everybody',
    ADD CONSTRAINT ck_subscriptions_clone_after_purge CHECK (clone_after_purge IN ('everybody', 'admin'));

-- Tells if anything was deleted for good.
CREATE INDEX ix_deletion_logs_permanent ON deletion_logs (subscription_id) WHERE NOT is_soft_delete;
