"""One clock and one book for every agent on the machine: what agents import."""
