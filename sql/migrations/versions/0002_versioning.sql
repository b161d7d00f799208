-- Tags, retries, the place of each version's commit on `main`, and whether a subscription demands If-Match.

ALTER TABLE subscriptions ADD COLUMN require_if_match BOOLEAN NOT NULL DEFAULT false;

ALTER TABLE repositories ADD COLUMN commits BIGINT NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN commit_number BIGINT;
-- Until now each commit made one version, in the order of its id within the batch that shares a time.
UPDATE versions SET commit_number = numbered.position FROM (
    SELECT version_id,
        row_number() OVER (PARTITION BY subscription_id ORDER BY created_at, version_id) AS position
    FROM versions
) AS numbered WHERE numbered.version_id = versions.version_id;
UPDATE repositories SET commits = counted.commits FROM (
    SELECT subscription_id, count(*) AS commits FROM versions GROUP BY subscription_id
) AS counted WHERE counted.subscription_id = repositories.subscription_id;
ALTER TABLE versions ALTER COLUMN commit_number SET NOT NULL;

CREATE TABLE tags (
    tag_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id UUID NOT NULL,
    version_id UUID NOT NULL,
    tag VARCHAR(100) NOT NULL,
    tag_object VARCHAR(40) NOT NULL,
    tagged_by UUID NOT NULL,
    tagged_at TIMESTAMP WITH TIME ZONE NOT NULL,
    untagged_by UUID,
    untagged_at TIMESTAMP WITH TIME ZONE,
    ref_is_settled BOOLEAN NOT NULL,
    CONSTRAINT pk_tags PRIMARY KEY (tag_id),
    CONSTRAINT fk_tags_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_tags_version_id FOREIGN KEY(version_id) REFERENCES versions (version_id),
    CONSTRAINT fk_tags_tagged_by FOREIGN KEY(tagged_by) REFERENCES actors (user_id),
    CONSTRAINT fk_tags_untagged_by FOREIGN KEY(untagged_by) REFERENCES actors (user_id)
);
CREATE INDEX ix_tags_subscription_id_tagged_at ON tags (subscription_id, tagged_at);
CREATE INDEX ix_tags_unsettled ON tags (subscription_id) WHERE NOT ref_is_settled;
CREATE UNIQUE INDEX uq_tags_open_name ON tags (resource_type, resource_id, tag) WHERE untagged_at IS NULL;
CREATE UNIQUE INDEX uq_tags_open_version ON tags (version_id) WHERE untagged_at IS NULL;
-- A version that was tagged before there were tag objects gets a light tag, on its commit.
INSERT INTO tags (
    tag_id, subscription_id, resource_type, resource_id, version_id, tag, tag_object,
    tagged_by, tagged_at, ref_is_settled
)
SELECT version_id, subscription_id, resource_type, resource_id, version_id, version_tag, git_commit_hash,
    created_by, created_at, false
FROM versions WHERE version_tag IS NOT NULL;

CREATE TABLE idempotency_keys (
    attempt_id BYTEA NOT NULL,
    subscription_id UUID,
    fingerprint BYTEA NOT NULL,
    result BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (attempt_id),
    CONSTRAINT fk_idempotency_keys_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE INDEX ix_idempotency_keys_subscription_id ON idempotency_keys (subscription_id);

CREATE INDEX ix_check_outs_running ON check_outs (subscription_id, checked_out_at, check_out_id) WHERE released_at IS NULL;

GRANT SELECT ON tags, idempotency_keys TO annals_service, annals_retention;
GRANT INSERT, UPDATE ON tags, idempotency_keys TO annals_service;
