"""Use cases: plain functions of the context, the caller and the input, one file a noun."""
