"""Settings, logging, metrics and the clock: the needs of every process."""
