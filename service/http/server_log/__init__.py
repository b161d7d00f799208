"""Server log: a row of each HTTP request, written in the background."""
