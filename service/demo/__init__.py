"""The demonstration: documents written for it, and the story that two users play on a running server."""
