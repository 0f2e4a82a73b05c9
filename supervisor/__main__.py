"""`python -m supervisor`: the same as the console script."""

from supervisor.command import main

if __name__ == "__main__":
    raise SystemExit(main())
