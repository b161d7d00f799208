-- Changes of records in a platform's own tables, which it posts: ids of records and names of people are any text.
-- The origin of older rows is null: Annals recorded them itself.

ALTER TABLE data_change_history
    ALTER COLUMN record_id TYPE VARCHAR(255),
    ALTER COLUMN changed_by TYPE VARCHAR(255),
    ADD COLUMN occurred_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN origin TEXT,
    ADD COLUMN source VARCHAR(200),
    ADD COLUMN recorded_by UUID;

CREATE INDEX ix_data_change_history_occurred_at
    ON data_change_history (
        subscription_id, (CASE WHEN occurred_at IS NULL THEN changed_at ELSE occurred_at END), change_id
    );
-- Either origin may be the rare one: a platform may post far more changes than it makes in Annals, or none.
CREATE INDEX ix_data_change_history_origin
    ON data_change_history (
        subscription_id, (CASE WHEN origin IS NULL THEN 'annals' ELSE origin END), changed_at, change_id
    );
CREATE INDEX ix_data_change_history_source
    ON data_change_history (subscription_id, source, changed_at, change_id) WHERE source IS NOT NULL;
CREATE INDEX ix_data_change_history_recorded_by
    ON data_change_history (subscription_id, recorded_by, changed_at, change_id) WHERE recorded_by IS NOT NULL;

-- Two subscriptions may have records with the same id in tables of the same name. The constraint keeps its name, by
-- which a host of 0.4.0 finds it.
ALTER TABLE change_numbers
    DROP CONSTRAINT pk_change_numbers,
    ALTER COLUMN record_id TYPE VARCHAR(255),
    ADD CONSTRAINT pk_change_numbers PRIMARY KEY (subscription_id, table_name, record_id);
DROP INDEX ix_change_numbers_subscription_id;
