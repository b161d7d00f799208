"""The archive: rows that left the database, in files with manifests, in a folder or a bucket."""
