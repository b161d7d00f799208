"""Rows that leave the database: files that say what they hold, in a folder or a bucket."""
