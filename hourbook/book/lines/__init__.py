"""Journals as lines of JSON: other tools' read into a book, and a book written as one."""
