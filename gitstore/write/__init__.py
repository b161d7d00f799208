"""Write repositories: objects, trees, commits and packs."""
