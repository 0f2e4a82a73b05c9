"""Entry point of the `hourbook` command. Imports nothing before it runs."""

__all__ = ["main"]


def main() -> int:
    """Run the command line; return its exit code (docs/CLI.md lists them)."""
    from hourbook.cli.run import run  # noqa: PLC0415 - an entry script imports nothing by itself

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
