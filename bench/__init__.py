"""The benchmark: `python -m bench`, or `make bench`. See docs/how-to/measure.md."""
