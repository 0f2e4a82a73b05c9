"""What an agent holds: the clock, the book, and what they hand out."""
