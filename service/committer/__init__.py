"""The only writer of history: callers hand over changes, which become commits and rows in batches."""
