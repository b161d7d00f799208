"""The checks of `annals verify`: one file for each subject."""
