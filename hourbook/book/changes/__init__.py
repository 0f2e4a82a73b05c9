"""Changes: requests that do something to the book's tables, with their entries and answers."""
