"""Authentication at the edge: the credentials in a request, and the rights of its caller."""
