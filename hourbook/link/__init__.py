"""How a process asks an actor: one socket, many requests in flight, names that are used once."""
