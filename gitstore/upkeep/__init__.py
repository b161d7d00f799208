"""Upkeep of repositories: repacking, pruning, leftovers and bundles."""
