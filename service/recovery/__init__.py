"""Recovery: comparing the database with the repositories, repairing and rebuilding it."""
