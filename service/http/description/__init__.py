"""Description of the API for OpenAPI: it follows from the routes and from the dependencies that they have."""
