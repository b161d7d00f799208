-- The operator's quotas of a subscription, NULL without limit, and what counts against those of a day.
-- `sql/models/tenancy.py` and `repositories.py` describe them.

ALTER TABLE subscriptions
    ADD COLUMN quota_repository_bytes BIGINT,
    ADD COLUMN quota_resources BIGINT,
    ADD COLUMN quota_versions_a_day BIGINT,
    ADD COLUMN quota_log_rows_a_day BIGINT,
    ADD COLUMN log_rows_day DATE,
    ADD COLUMN log_rows_of_day BIGINT NOT NULL DEFAULT 0,
    ADD CONSTRAINT ck_subscriptions_quotas CHECK (
        quota_repository_bytes >= 0 AND quota_resources >= 0
        AND quota_versions_a_day >= 0 AND quota_log_rows_a_day >= 0
    );

ALTER TABLE repositories
    ADD COLUMN versions_day DATE,
    ADD COLUMN versions_of_day BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN live_resources BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN live_at_commits BIGINT NOT NULL DEFAULT 0;
