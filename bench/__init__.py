"""Benchmarks: each figure is a ratio to a reference, measured in alternation on the same file system."""
