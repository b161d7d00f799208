"""Masking: removing secrets from everything that is logged."""
