"""The checks of `annals verify`: one file a subject."""
