"""Request bodies and query parameters, as pydantic models."""
