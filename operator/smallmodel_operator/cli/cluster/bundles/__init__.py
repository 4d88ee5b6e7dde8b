"""Files that are carried to a cluster that no line reaches, and back."""
