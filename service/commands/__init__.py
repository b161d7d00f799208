"""The commands that act on one resource of a running server, as any client would."""
