"""The `annals` command: one file a subcommand, and the code that they share."""
