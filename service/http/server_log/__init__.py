"""The server log: what passed in each HTTP request, written behind the requests' backs."""
