"""Planning of the changes of a batch: the commits and rows that each of them adds."""
