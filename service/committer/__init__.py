"""The one way to write history: callers hand over changes, batches of them become commits and rows."""
