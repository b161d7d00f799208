"""Planning one change: from a command and the current state to commits and rows."""
