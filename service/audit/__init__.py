"""The audit log and the data change history: writing their rows."""
