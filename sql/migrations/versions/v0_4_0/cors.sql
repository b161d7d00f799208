-- The origins whose pages may call a subscription in browsers. `sql/models/tenancy.py` describes them.

ALTER TABLE subscriptions ADD COLUMN cors_origins TEXT[] NOT NULL DEFAULT '{}';
