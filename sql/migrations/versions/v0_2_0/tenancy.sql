-- Subscriptions, actors, users, API keys and repositories. `sql/models/tenancy.py` and `repositories.py` describe
-- them.

CREATE TABLE subscriptions (
    subscription_id UUID NOT NULL,
    name VARCHAR(255) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    require_if_match BOOLEAN NOT NULL DEFAULT false,
    closed_at TIMESTAMP WITH TIME ZONE,
    closed_by VARCHAR(255),
    close_reason TEXT,
    purge_after TIMESTAMP WITH TIME ZONE,
    exported_at TIMESTAMP WITH TIME ZONE,
    purged_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_subscriptions PRIMARY KEY (subscription_id),
    CONSTRAINT ck_subscriptions_closed CHECK (
        (closed_at IS NULL) = (purge_after IS NULL) AND (closed_at IS NULL) = (closed_by IS NULL)
        AND (exported_at IS NULL OR closed_at IS NOT NULL)
        AND (purged_at IS NULL OR exported_at IS NOT NULL)
    )
);
CREATE INDEX ix_subscriptions_closed ON subscriptions (purge_after) WHERE closed_at IS NOT NULL AND purged_at IS NULL;

CREATE TABLE actors (
    user_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    username VARCHAR(255) NOT NULL,
    email VARCHAR(255),
    CONSTRAINT pk_actors PRIMARY KEY (user_id),
    CONSTRAINT fk_actors_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
CREATE INDEX ix_actors_subscription_id ON actors (subscription_id);

CREATE TABLE users (
    user_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    username VARCHAR(255) NOT NULL,
    role VARCHAR(20) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (user_id),
    CONSTRAINT uq_users_subscription_id_username UNIQUE (subscription_id, username),
    CONSTRAINT ck_users_role CHECK (role IN ('viewer', 'editor', 'auditor', 'admin')),
    CONSTRAINT fk_users_user_id FOREIGN KEY(user_id) REFERENCES actors (user_id),
    CONSTRAINT fk_users_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);

CREATE TABLE api_keys (
    key_id UUID NOT NULL,
    subscription_id UUID,
    user_id UUID,
    name TEXT NOT NULL,
    secret_hash BYTEA NOT NULL,
    created_by UUID,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    last_login_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_keys PRIMARY KEY (key_id),
    CONSTRAINT ck_api_keys_owner CHECK ((subscription_id IS NULL) = (user_id IS NULL)),
    CONSTRAINT fk_api_keys_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_api_keys_user_id FOREIGN KEY(user_id) REFERENCES users (user_id) ON DELETE CASCADE
);
CREATE INDEX ix_api_keys_subscription_id_key_id ON api_keys (subscription_id, key_id);
CREATE INDEX ix_api_keys_user_id ON api_keys (user_id);
CREATE UNIQUE INDEX uq_api_keys_operator ON api_keys (name) WHERE subscription_id IS NULL;
-- Keys to delete are found by the time at which they expire.
CREATE INDEX ix_api_keys_expires_at ON api_keys (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE repositories (
    subscription_id UUID NOT NULL,
    head_commit VARCHAR(40),
    published_commit VARCHAR(40),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    commits BIGINT NOT NULL DEFAULT 0,
    packs INTEGER,
    bytes BIGINT,
    measured_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_repositories PRIMARY KEY (subscription_id),
    CONSTRAINT fk_repositories_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id)
);
