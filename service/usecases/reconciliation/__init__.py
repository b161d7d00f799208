"""What reconcile looks for, one module for each place to look."""
