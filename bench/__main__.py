"""Run every benchmark and print one table: ours, a named peer's in the same run, and the ratio.

Usage: ``python -m bench [--quick] [NAME ...]``. The figures are no tests: they depend on the
machine; the ratios much less. What was left of it for them is said below the table.
"""

import importlib
import pkgutil
import sys
from collections.abc import Sequence

import bench
from bench._machine import MACHINE

__all__: list[str] = []

Row = tuple[str, str, str, str, str]
HEADER: Row = ("what", "ours", "peer", "ratio", "target")


def main(arguments: Sequence[str]) -> int:
    """Run the named benchmarks, or all of them."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    quick = "--quick" in arguments
    known = sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if m.name[0] != "_")
    chosen = [a for a in arguments if not a.startswith("-")] or known
    if unknown := sorted(set(chosen) - set(known)):
        print(f"Expected some of {', '.join(known)}, got {', '.join(unknown)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    for name in chosen:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"bench.{name}").run(quick=quick)
    print_table([HEADER, *rows])
    print(MACHINE.describe())
    return 0


def print_table(rows: Sequence[Row]) -> None:
    """Print rows in aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
