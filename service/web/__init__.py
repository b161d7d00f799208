"""Pages: what a person sees of the history, on the use cases that the API calls."""
