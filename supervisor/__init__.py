"""The supervisor: a tree of specs, the decisions over it, and the processes that follow."""
