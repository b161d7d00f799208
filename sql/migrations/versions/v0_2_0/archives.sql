-- The list of archives. `sql/models/retention.py` describes the table.

CREATE TABLE archives (
    archive_id UUID NOT NULL,
    log VARCHAR(100) NOT NULL,
    subscription_id UUID,
    range_start TIMESTAMP WITH TIME ZONE NOT NULL,
    range_end TIMESTAMP WITH TIME ZONE NOT NULL,
    rows BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    sha256 VARCHAR(64) NOT NULL,
    location TEXT NOT NULL,
    run_id UUID,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_archives PRIMARY KEY (archive_id)
);
CREATE INDEX ix_archives_log_range_start ON archives (log, range_start);
CREATE INDEX ix_archives_made_at_archive_id ON archives (made_at, archive_id);
CREATE INDEX ix_archives_subscription_id ON archives (subscription_id);
