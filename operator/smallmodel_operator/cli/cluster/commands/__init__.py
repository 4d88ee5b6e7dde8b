"""One module for each command that speaks to a cluster."""
