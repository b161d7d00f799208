-- The sequencer takes the rows of each subscription in turns. The queue is short but where the sequencer has been
-- stopped for long.
CREATE INDEX ix_log_queue_subscription_id_queued ON log_queue (subscription_id, queued);
