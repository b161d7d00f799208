"""The embedded PostgreSQL: its cluster, its server process and the user that runs it."""
