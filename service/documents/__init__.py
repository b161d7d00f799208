"""Documents: strict parsing of JSON, and differences between two documents."""
