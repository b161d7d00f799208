"""What Annals does, as plain functions of the context, the caller and the input."""
