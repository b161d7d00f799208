"""Masking: remove secrets from everything that is logged."""
