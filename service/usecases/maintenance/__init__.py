"""Scheduled jobs: one file a job, the table of all, and their control."""
