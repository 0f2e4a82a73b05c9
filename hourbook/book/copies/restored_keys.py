"""The keys of a restored home: which one vouches for a backup, and which one goes on with it."""

import stat
from pathlib import Path

from hourbook.book.copies.book_file import KEY_SUFFIX, PUBLIC_SUFFIX, check_file
from hourbook.book.durable import write_private
from hourbook.book.proof.keys import KEY_FILE_NAME, PUBLIC_FILE_NAME, PUBLIC_KEY_SIZE, SiteKey
from protocols import errors

__all__ = ["stage_keys", "trusted_key"]


def trusted_key(source: Path) -> bytes | None:
    """Return the public key beside a backup; None where there is none.

    Raises:
        BookCorrupt: it is no key.
    """
    path = source.with_name(source.name + PUBLIC_SUFFIX)
    try:
        text = path.read_bytes()[: 4 * PUBLIC_KEY_SIZE]
    except FileNotFoundError:
        return None
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != PUBLIC_KEY_SIZE:
        raise errors.BookCorrupt(
            f"Expected {2 * PUBLIC_KEY_SIZE} hex digits, got something else, at {path}",
            field=str(path),
            hint="mend it, or move it away to trust the key that the book names itself",
        )
    return key


def stage_keys(source: Path, keys: Path, public: bytes | None, key_file: Path | None) -> bool:
    """Prepare the directory of keys; return whether the book can be written with it.

    Args:
        source: the backup.
        keys: the directory to make.
        public: the key that must sign next; None: the book does not say.
        key_file: holds the signing key; None: the one beside the backup, if there is one.

    Raises:
        BadRequest, HomeUnusable: `key_file` is not the key of the book.
    """
    if public is None:
        return False
    keys.mkdir(mode=0o700)
    write_private(keys / PUBLIC_FILE_NAME, public.hex().encode() + b"\n", 0o644)
    path = key_file or source.with_name(source.name + KEY_SUFFIX)
    if key_file is None and not path.exists():
        return False
    seed = _read_seed(path)
    if SiteKey(seed).public == public:
        write_private(keys / KEY_FILE_NAME, seed.hex().encode() + b"\n")
        return True
    if key_file is None:
        return False  # cut back to before a change of keys: the one beside the backup is newer
    raise errors.HomeUnusable(
        f"Expected the key that signs the book ({public.hex()[:16]}...), got another,"
        f" at {key_file}",
        field=str(key_file),
    )


def _read_seed(path: Path) -> bytes:
    check_file(path, "a signing key")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise errors.HomeUnusable(
            f"Expected a signing key of mode 0600, got {mode:04o}, at {path}",
            field=str(path),
            hint=f"chmod 600 {path}",
        )
    try:
        seed = bytes.fromhex(path.read_bytes()[:256].decode("ascii").strip())
    except ValueError:
        seed = b""
    if len(seed) != PUBLIC_KEY_SIZE:
        raise errors.HomeUnusable(
            f"Expected 64 hex digits, got something else, at {path}", field=str(path)
        )
    return seed
