"""Read repositories: commits, trees, blobs and diffs."""
