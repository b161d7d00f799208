"""Scheduled work: a job is a name, a trigger and one call into a use case; the first ones come with retention."""
