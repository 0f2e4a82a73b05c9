"""The actor processes: one file each, and the loop that they share."""
