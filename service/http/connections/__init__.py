"""Connections of clients: the rules of the door, for each parser that uvicorn may use."""
