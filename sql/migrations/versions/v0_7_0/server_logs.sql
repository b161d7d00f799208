-- The pattern of a request's path: figures are by route, since paths have ids in them. No row is rewritten.
ALTER TABLE server_logs ADD COLUMN route VARCHAR(500);
