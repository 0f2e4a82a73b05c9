"""Whether a book still says what was written: hashes, signatures, keys, heads kept elsewhere."""
