"""Audit: the rows of the audit log and of the data change history."""
