"""Queries by noun: each takes the transaction, then the subscription, and never commits."""
