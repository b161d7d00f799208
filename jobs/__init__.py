"""Scheduled work: a job is a name, a trigger and one call into a use case; the first come with retention."""
