"""The site's signing key: one Ed25519 seed in a file that nobody else can read.

Created once, by the writer, before the first commit. Signing and checking are libsodium's through
PyNaCl, whose import takes 15 ms and is therefore made only where a signature is.
"""

import os
import stat
from pathlib import Path
from typing import Final

from protocols import errors

__all__ = ["KEY_FILE_NAME", "PUBLIC_KEY_SIZE", "SIGNATURE_SIZE", "SiteKey", "is_signed_by"]

KEY_FILE_NAME: Final = "site.key"
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
    def load(cls, keys_dir: Path) -> "SiteKey | None":
        """Return the key of a home; None when there is none yet.

        Raises:
            HomeUnusable: unreadable, of the wrong size, or readable by others.
        """
        path = keys_dir / KEY_FILE_NAME
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
        try:
            keys_dir.mkdir(mode=0o700, exist_ok=True)
            _write_durably(keys_dir / PUBLIC_FILE_NAME, key.public, 0o644)
            _write_durably(keys_dir / KEY_FILE_NAME, seed, 0o600)
        except OSError as error:
            raise errors.HomeUnusable(
                f"Expected to write the signing key, got: {error.strerror}, at {keys_dir}"
            ) from None
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


def _write_durably(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.write(descriptor, content.hex().encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
