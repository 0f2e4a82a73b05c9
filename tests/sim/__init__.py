"""A machine, its network and its servers in one process: the clock's promise on trial."""
