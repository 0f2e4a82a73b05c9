"""The `supervisor` console script.

Imports nothing at module level: spawn runs the main module again in every child, and what is
imported here each actor would pay for.
"""

__all__ = ["main"]


def main() -> int:
    """Run one command; return its exit code. Errors are one line on stderr, never a traceback."""
    try:
        from supervisor.cli import run  # noqa: PLC0415 - see above

        return run()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has enough, as `head` has. Python would complain once more while it exits.
        import os  # noqa: PLC0415 - see above
        import sys  # noqa: PLC0415 - see above

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        import os  # noqa: PLC0415 - see above
        import sys  # noqa: PLC0415 - see above

        where = f", at {error.filename}" if error.filename else ""
        sys.stderr.write(f"supervisor: {error.strerror or error}{where}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
