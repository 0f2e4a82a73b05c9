"""Finding the leap table of this machine: the freshest that tzdata brought. An edge."""

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hourbook.clock import leap
from hourbook.clock.leap import LeapTable

__all__ = ["SYSTEM_PATHS", "find_table"]

SYSTEM_PATHS: Final = (
    Path("/usr/share/zoneinfo/leap-seconds.list"),
    Path("/usr/share/zoneinfo/leapseconds"),
)
FILE_BYTES_MAX: Final = 262_144

_log = logging.getLogger(__name__)


def find_table(paths: tuple[Path, ...] = SYSTEM_PATHS) -> LeapTable | None:
    """Return the table that holds longest, of the system's and the Python package's; None: none."""
    tables = [table for path in (*paths, *_of_package()) if (table := _read(path)) is not None]
    return max(tables, key=lambda table: table.expires_s, default=None)


def _of_package() -> tuple[Path, ...]:
    spec = find_spec("tzdata")
    if spec is None or spec.origin is None:
        return ()
    return (Path(spec.origin).with_name("zoneinfo") / "leapseconds",)


def _read(path: Path) -> LeapTable | None:
    try:
        with path.open("rb") as file:
            return leap.parse(file.read(FILE_BYTES_MAX).decode("utf-8", "replace"), str(path))
    except OSError:
        return None
    except ValueError as error:
        _log.warning("ignored: %s", error)
        return None
