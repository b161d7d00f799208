"""Writing repositories: objects, trees, commits and packs."""
