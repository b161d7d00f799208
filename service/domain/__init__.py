"""The words of the domain: errors, ids, callers, resource kinds, and the rules between them."""
