"""Speed of placing among many clusters, and of carrying it there: what `make bench-hybrid` runs."""
