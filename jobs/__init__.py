"""Scheduled jobs: election of a leader, its scheduler, and the runner of each job run."""
