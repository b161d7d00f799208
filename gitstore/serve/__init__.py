"""Serve clones and fetches: git processes and their protocol."""
