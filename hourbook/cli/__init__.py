"""The `hourbook` command: one small file per group of commands, everything heavy imported late."""
