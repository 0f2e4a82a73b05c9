"""The store: keys of namespaces, kept in step with the entries that say what became of them."""
