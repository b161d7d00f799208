"""Scheduled work: which use case each job is, who runs it, and when."""
