"""Entry point of the `hourbook` command. Imports nothing before it runs."""

__all__ = ["main"]

GARBAGE_AFTER = 50_000
"""Objects made and not freed before the collector looks; more than the imports make."""


def main() -> int:
    """Run the command line; return its exit code (docs/CLI.md lists them)."""
    import gc  # noqa: PLC0415 - an entry script imports nothing by itself

    # What a command imports lives as long as it does: looking through it again and again, as the
    # default of 700 does, is a twelfth of the time that a short command takes.
    gc.set_threshold(GARBAGE_AFTER)
    from hourbook.cli.run import run  # noqa: PLC0415 - the same

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
