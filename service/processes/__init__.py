"""The programs that `annals serve` runs: supervisor, API worker, committer, scheduler."""
