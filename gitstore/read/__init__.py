"""Reading repositories: commits, trees, blobs and differences."""
