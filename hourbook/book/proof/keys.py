"""The site's signing key: one Ed25519 seed in a file that nobody else can read.

Created by the writer before the first commit; ``hourbook.book.proof.key_ring`` replaces it. Signing
and checking are libsodium's through PyNaCl, whose import takes 15 ms and is therefore made only
where a signature is.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hourbook.book.durable import write_private
from protocols import errors

__all__ = [
    "KEY_FILE_NAME",
    "NEXT_FILE_NAME",
    "PUBLIC_FILE_NAME",
    "PUBLIC_KEY_SIZE",
    "SIGNATURE_SIZE",
    "SiteKey",
    "is_signed_by",
    "read_public",
    "write_public",
]

KEY_FILE_NAME: Final = "site.key"
NEXT_FILE_NAME: Final = "next.key"
"""A key that is about to be named by the one in use, or was just named."""
PUBLIC_FILE_NAME: Final = "site.pub"
SEED_SIZE: Final = 32
PUBLIC_KEY_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64


class SiteKey:
    """A key that can sign.

    Attributes:
        public: the 32 bytes by which others check.
    """

    __slots__ = ("_crypto_sign", "_secret", "public")

    def __init__(self, seed: bytes) -> None:
        from nacl import bindings  # noqa: PLC0415 - see the module

        public, secret = bindings.crypto_sign_seed_keypair(seed)
        self.public: bytes = public
        self._secret: bytes = secret
        self._crypto_sign = bindings.crypto_sign

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of a signature (17 us)."""
        return self._crypto_sign(message, self._secret)[:SIGNATURE_SIZE]

    @classmethod
    def load(cls, keys_dir: Path, name: str = KEY_FILE_NAME) -> "SiteKey | None":
        """Return the key of a home; None when there is none yet.

        Raises:
            HomeUnusable: unreadable, of the wrong size, or readable by others.
        """
        path = keys_dir / name
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                text = file.read(2 * SEED_SIZE + 2)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise errors.HomeUnusable(
                f"Expected to read the signing key, got: {error.strerror}, at {path}"
            ) from None
        if mode & 0o077:
            raise errors.HomeUnusable(
                f"Expected a signing key of mode 0600, got {mode:04o}, at {path}",
                field=str(path),
                hint=f"chmod 600 {path}",
            )
        try:
            seed = bytes.fromhex(text.decode("ascii").strip())
        except ValueError:
            seed = b""
        if len(seed) != SEED_SIZE:
            raise errors.HomeUnusable(
                f"Expected {2 * SEED_SIZE} hex digits, got something else, at {path}",
                field=str(path),
                hint="restore the key from a backup",
            )
        return cls(seed)

    @classmethod
    def create(cls, keys_dir: Path) -> "SiteKey":
        """Make a new key and put it in its place, durable before it is used.

        Raises:
            HomeUnusable: the directory cannot be written.
        """
        key = cls(seed := os.urandom(SEED_SIZE))
        with _unwritable_as_error(keys_dir):
            keys_dir.mkdir(mode=0o700, exist_ok=True)
            write_public(keys_dir, key.public)
            write_private(keys_dir / KEY_FILE_NAME, _text(seed))
        return key

    @classmethod
    def create_next(cls, keys_dir: Path) -> "SiteKey":
        """Make a key that is not in use yet, durable beside the one that is.

        Raises:
            HomeUnusable: the directory cannot be written.
        """
        key = cls(seed := os.urandom(SEED_SIZE))
        with _unwritable_as_error(keys_dir):
            write_private(keys_dir / NEXT_FILE_NAME, _text(seed))
        return key


def is_signed_by(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether `signature` over `message` is that of the key `public` (RFC 8032)."""
    from nacl import bindings, exceptions  # noqa: PLC0415 - see the module

    if len(public) != PUBLIC_KEY_SIZE or len(signature) != SIGNATURE_SIZE:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public)
    except exceptions.BadSignatureError:
        return False
    return True


def read_public(keys_dir: Path) -> bytes | None:
    """Return the public key of a home; None where there is none, or none that can be read."""
    try:
        key = bytes.fromhex((keys_dir / PUBLIC_FILE_NAME).read_text("ascii").strip())
    except (OSError, ValueError):
        return None
    return key if len(key) == PUBLIC_KEY_SIZE else None


def write_public(keys_dir: Path, public: bytes) -> None:
    """Put the public key in its place, durably.

    Raises:
        OSError: the one before is still there.
    """
    write_private(keys_dir / PUBLIC_FILE_NAME, _text(public), 0o644)


def _text(content: bytes) -> bytes:
    return content.hex().encode() + b"\n"


@contextlib.contextmanager
def _unwritable_as_error(keys_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise errors.HomeUnusable(
            f"Expected to write the signing key, got: {error.strerror}, at {keys_dir}"
        ) from None
