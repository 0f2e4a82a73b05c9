"""How the book is kept: one SQLite database, written by one process, read by all."""
