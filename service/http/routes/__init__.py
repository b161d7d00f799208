"""Routes, one router a noun: read the request, call one use case, answer."""
