"""The order of the logs: positions for committed rows."""
