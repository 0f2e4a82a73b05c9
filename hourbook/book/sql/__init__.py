"""Asking a book in SQL: what can be seen, what may be done, and for how long."""
