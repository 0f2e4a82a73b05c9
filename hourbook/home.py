"""Where a Hourbook keeps its state, and how every process that knows the home finds the rest.

State that must survive lives in the *home*; sockets and shared memory live in the *run directory*,
whose name follows from the home alone, so that it is found under sudo and cron too, and which is
short enough for the 107 bytes of a socket address. Finding creates nothing; only
:func:`prepare_home` does.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocols import errors

__all__ = ["SOCKET_PATH_BYTES_MAX", "Home", "find_home", "prepare_home"]

RUN_ROOT: Final = Path("/dev/shm")  # noqa: S108 - tmpfs on purpose; the directory in it is 0700
SOCKET_PATH_BYTES_MAX: Final = 107
"""sun_path holds 108 bytes with its final NUL (unix(7))."""
_PRIVATE: Final = 0o700


@dataclass(frozen=True, slots=True)
class Home:
    """One Hourbook on this machine: the paths of everything in it."""

    path: Path
    run_dir: Path

    @property
    def config_file(self) -> Path:
        """The configuration, unless ``--config`` names another."""
        return self.path / "hourbook.toml"

    @property
    def book_db(self) -> Path:
        """The one database: journal, store, memory."""
        return self.path / "book.db"

    @property
    def archive_dir(self) -> Path:
        """Sealed ranges of details."""
        return self.path / "archive"

    @property
    def keys_dir(self) -> Path:
        """Ed25519 keys, 0600."""
        return self.path / "keys"

    @property
    def drift_file(self) -> Path:
        """The clock's state between runs."""
        return self.path / "drift"

    @property
    def dead_letter_dir(self) -> Path:
        """Messages that an actor could not handle."""
        return self.path / "dead-letter"

    @property
    def backup_dir(self) -> Path:
        """Online backups."""
        return self.path / "backup"

    @property
    def logs_dir(self) -> Path:
        """What the actors printed, as JSON lines."""
        return self.path / "logs"

    @property
    def segment(self) -> Path:
        """The shared segment."""
        return self.run_dir / "segment"

    @property
    def volatile_db(self) -> Path:
        """Transient and cached values; gone with the machine's power."""
        return self.run_dir / "volatile.db"

    @property
    def lock_file(self) -> Path:
        """Held by the running supervisor; never unlinked."""
        return self.run_dir / "lock"

    def mailbox(self, name: str) -> str:
        """Return the socket path of an actor's mailbox."""
        return str(self.run_dir / f"{name}.sock")

    def mailbox_uri(self, name: str) -> str:
        """Return the ZeroMQ address of an actor's mailbox."""
        return f"ipc://{self.mailbox(name)}"


def find_home(flag: str | os.PathLike[str] | None = None) -> Home:
    """Find the home: `flag`, else $HOURBOOK_HOME, else $XDG_DATA_HOME/hourbook. Creates nothing.

    The run directory is named after the owner of the home and the hash of its real path; where the
    home does not exist yet, after the user who would create it.

    Raises:
        HomeUnusable: `flag` is empty.
    """
    path = Path(os.path.realpath(_choose(flag)))
    try:
        uid = path.stat().st_uid
    except OSError:
        uid = os.geteuid()
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return Home(path=path, run_dir=RUN_ROOT / f"hourbook-{uid}-{digest}")


def prepare_home(home: Home) -> None:
    """Create the home and its run directory, 0700, and check that both can be used.

    Raises:
        HomeUnusable: cannot be created or written, or belongs to somebody else.
    """
    for path in (home.path, home.run_dir):
        try:
            path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            status = path.lstat()
        except OSError as error:
            raise errors.HomeUnusable(
                f"Expected to create the directory {path}, got: {error.strerror}",
                field=str(path),
                hint="choose another with --home DIR",
            ) from None
        _check_directory(path, status)
    if home.run_dir.stat().st_mode & 0o077:
        home.run_dir.chmod(_PRIVATE)


def _choose(flag: str | os.PathLike[str] | None) -> Path:
    if flag is not None:
        if not os.fspath(flag):  # a shell variable that was not set, not the current directory
            raise errors.HomeUnusable("Expected a directory as home, got an empty name")
        return Path(flag)
    if named := os.environ.get("HOURBOOK_HOME"):
        return Path(named)
    if data := os.environ.get("XDG_DATA_HOME"):
        return Path(data) / "hourbook"
    return Path.home() / ".local" / "share" / "hourbook"


def _check_directory(path: Path, status: os.stat_result) -> None:
    # A symbolic link or a foreign owner in the world-writable run root would be somebody's trap.
    if not stat.S_ISDIR(status.st_mode):
        raise errors.HomeUnusable(f"Expected a directory, got another file, at {path}")
    if os.geteuid() not in (0, status.st_uid):
        raise errors.HomeUnusable(
            f"Expected a directory of user {os.geteuid()}, got one of user {status.st_uid},"
            f" at {path}"
        )
    if not os.access(path, os.W_OK | os.X_OK):
        raise errors.HomeUnusable(
            f"Expected a writable directory, got mode {stat.S_IMODE(status.st_mode):04o},"
            f" at {path}",
            field=str(path),
            hint="choose another with --home DIR",
        )
