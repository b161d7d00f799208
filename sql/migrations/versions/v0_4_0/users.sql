-- Service accounts, and usernames that are unique without regard to case. `sql/models/tenancy.py` describes them.

ALTER TABLE users
    ADD COLUMN kind VARCHAR(10) NOT NULL DEFAULT 'human',
    ADD COLUMN name_key TEXT,
    ADD CONSTRAINT ck_users_kind CHECK (kind IN ('human', 'service'));

-- Older usernames may differ in nothing but case. The oldest of each such group gets the key, so that no other user
-- can be added to the group; its other users stay as they are.
UPDATE users SET name_key = folded.name_key
FROM (
    SELECT DISTINCT ON (subscription_id, name_key) user_id, name_key
    FROM (
        SELECT user_id, subscription_id,
            replace(replace(lower(normalize(username, NFKC)), 'ß', 'ss'), 'ς', 'σ') AS name_key
        FROM users
    ) AS keys
    ORDER BY subscription_id, name_key, user_id
) AS folded
WHERE folded.user_id = users.user_id;

CREATE UNIQUE INDEX uq_users_name_key ON users (subscription_id, name_key);
