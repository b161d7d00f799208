"""Needs of every process: settings, logging, metrics, the clock."""
