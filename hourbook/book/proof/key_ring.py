"""The key in use and the one that follows it, for the one process that signs. An edge: key files.

A change of keys has four steps, and the process may end after any of them:

1. ``next.key`` is written, durably; nothing uses it.
2. The old key signs a commit with an entry that names the new one. From here on the book demands
   the new key.
3. ``next.key`` is renamed to ``site.key``; the old key is gone.
4. ``site.pub`` is replaced.

The book says what must sign next (``hourbook.book.proof.key_chain.next_key``), so a start needs to
know nothing else: a `next.key` that was never named is removed, one that was is put in its place.
"""

import contextlib
from pathlib import Path

from hourbook.book.durable import remove_remains, sync_directory
from hourbook.book.proof.keys import (
    KEY_FILE_NAME,
    NEXT_FILE_NAME,
    PUBLIC_FILE_NAME,
    SiteKey,
    read_public,
    write_public,
)
from protocols import errors

__all__ = ["KeyRing", "check_key"]


class KeyRing:
    """The keys of one home, open for signing.

    Attributes:
        current: what signs.
    """

    def __init__(self, keys_dir: Path, current: SiteKey) -> None:
        """Use :meth:`open`."""
        self._keys_dir = keys_dir
        self._staged: SiteKey | None = None
        self.current = current

    @classmethod
    def open(cls, keys_dir: Path, demanded: bytes | None) -> "KeyRing":
        """Return the ring whose key the book demands, ending a change that was interrupted.

        Args:
            keys_dir: holds the key files.
            demanded: the public key that must sign next; None: the book is new, any will do.

        Raises:
            HomeUnusable: the key is missing, wrong or unreadable, or its files cannot be written.
        """
        if demanded is None:
            return cls(keys_dir, SiteKey.load(keys_dir) or SiteKey.create(keys_dir))
        key, is_staged = _find_key(keys_dir, demanded)
        ring = cls(keys_dir, key)
        ring._staged = key if is_staged else None
        ring._tidy()
        return ring

    def stage(self) -> SiteKey:
        """Make the next key, durable but not in use yet; return it.

        Asked again before :meth:`settle`, it is the same one.

        Raises:
            HomeUnusable: it cannot be written.
        """
        if self._staged is None:
            self._staged = SiteKey.create_next(self._keys_dir)
        return self._staged

    def settle(self, named: str | None) -> None:
        """Go on after a group: under the staged key where the committed group named it.

        Raises:
            OSError: its files could not be moved; the next start will do it.
        """
        if self._staged is None:
            return
        if named == self._staged.public.hex():
            self.current = self._staged
            self._promote()
            # No room for it? The old public key vouches for this book too, until the next start.
            with contextlib.suppress(OSError):
                write_public(self._keys_dir, self.current.public)
        self._staged = None

    def _tidy(self) -> None:
        """Leave what the end of a change leaves, and no seed that nothing uses."""
        try:
            for name in (KEY_FILE_NAME, NEXT_FILE_NAME, PUBLIC_FILE_NAME):
                remove_remains(self._keys_dir / name)
            if self._staged is not None:
                self._promote()
                self._staged = None
            (self._keys_dir / NEXT_FILE_NAME).unlink(missing_ok=True)
            if read_public(self._keys_dir) != self.current.public:
                write_public(self._keys_dir, self.current.public)
        except OSError as error:
            raise errors.HomeUnusable(
                f"Expected to put the new signing key in its place, got: {error.strerror},"
                f" at {self._keys_dir}",
                field=str(self._keys_dir),
            ) from None

    def _promote(self) -> None:
        (self._keys_dir / NEXT_FILE_NAME).replace(self._keys_dir / KEY_FILE_NAME)
        sync_directory(self._keys_dir)


def check_key(keys_dir: Path, demanded: bytes) -> None:
    """Check that the key which must sign next is there, and can be read.

    Raises:
        HomeUnusable: saying why not.
    """
    _find_key(keys_dir, demanded)


def _find_key(keys_dir: Path, demanded: bytes) -> tuple[SiteKey, bool]:
    """Return the key that the book demands, and whether it still has to be put in its place."""
    current = SiteKey.load(keys_dir)
    if current is not None and current.public == demanded:
        return current, False
    staged = SiteKey.load(keys_dir, NEXT_FILE_NAME)
    if staged is not None and staged.public == demanded:
        return staged, True
    raise errors.HomeUnusable(
        f"Expected the key that signed the book ({demanded.hex()[:16]}...),"
        f" got {'none' if current is None else 'another'}, at {keys_dir}",
        field=str(keys_dir),
        hint="restore the key from a backup",
    )
