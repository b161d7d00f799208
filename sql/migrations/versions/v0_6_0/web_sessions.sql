-- Sessions of the web pages, links that sign in once, and readings of logs that need no further event.
-- `sql/models/web_sessions.py` describes the tables. All of them end with the API key that the session stands for.

CREATE TABLE web_sessions (
    session_id UUID NOT NULL,
    subscription_id UUID,
    key_id UUID NOT NULL,
    token_hash BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ip_address INET,
    user_agent TEXT,
    CONSTRAINT pk_web_sessions PRIMARY KEY (session_id),
    CONSTRAINT uq_web_sessions_token_hash UNIQUE (token_hash),
    CONSTRAINT fk_web_sessions_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_web_sessions_key_id FOREIGN KEY(key_id) REFERENCES api_keys (key_id) ON DELETE CASCADE
);
CREATE INDEX ix_web_sessions_subscription_id_session_id ON web_sessions (subscription_id, session_id);
CREATE INDEX ix_web_sessions_key_id ON web_sessions (key_id);
CREATE INDEX ix_web_sessions_expires_at ON web_sessions (expires_at);

CREATE TABLE sign_in_links (
    token_hash BYTEA NOT NULL,
    subscription_id UUID NOT NULL,
    key_id UUID NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_sign_in_links PRIMARY KEY (token_hash),
    CONSTRAINT fk_sign_in_links_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_sign_in_links_key_id FOREIGN KEY(key_id) REFERENCES api_keys (key_id) ON DELETE CASCADE
);
CREATE INDEX ix_sign_in_links_subscription_id ON sign_in_links (subscription_id);
CREATE INDEX ix_sign_in_links_key_id ON sign_in_links (key_id);
CREATE INDEX ix_sign_in_links_expires_at ON sign_in_links (expires_at);

CREATE TABLE web_readings (
    session_id UUID NOT NULL,
    digest BYTEA NOT NULL,
    subscription_id UUID,
    read_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_web_readings PRIMARY KEY (session_id, digest),
    CONSTRAINT fk_web_readings_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (subscription_id),
    CONSTRAINT fk_web_readings_session_id FOREIGN KEY(session_id) REFERENCES web_sessions (session_id) ON DELETE CASCADE
);
CREATE INDEX ix_web_readings_subscription_id ON web_readings (subscription_id);

DO $walls$
DECLARE
    v_table TEXT;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['web_sessions', 'sign_in_links', 'web_readings'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format(
            'CREATE POLICY subscription ON %I USING '
            '(current_setting(''annals.scope'', true) IN (''platform'', subscription_id::text))',
            v_table
        );
    END LOOP;
END
$walls$;

GRANT SELECT ON web_sessions, sign_in_links, web_readings TO annals_service, annals_retention;
GRANT INSERT, DELETE ON web_sessions, sign_in_links, web_readings TO annals_service;
GRANT UPDATE (last_seen_at) ON web_sessions TO annals_service;
GRANT UPDATE (read_at) ON web_readings TO annals_service;
