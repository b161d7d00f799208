"""Compare the database with the repositories, repair it, and rebuild it."""
