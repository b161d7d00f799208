"""Authentication at the edge: reading credentials, and what a caller's role permits."""
