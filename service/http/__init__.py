"""HTTP: reading requests, answering them, and the routes between."""
