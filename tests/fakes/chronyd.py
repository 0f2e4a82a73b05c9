"""A real chronyd that serves a shifted time on the loopback, by Debian's libfaketime."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["serving_chronyd"]

_SHM = Path("/dev/shm")  # noqa: S108 - where libfaketime keeps its state
_LIBFAKETIME = ("x86_64-linux-gnu", "aarch64-linux-gnu", "i386-linux-gnu", "arm-linux-gnueabihf")


def libfaketime() -> Path:
    """Return where Debian keeps the library."""
    for triplet in _LIBFAKETIME:
        path = Path("/usr/lib", triplet, "faketime", "libfaketime.so.1")
        if path.exists():
            return path
    raise FileNotFoundError("libfaketime.so.1: apt-get install faketime")


@contextmanager
def serving_chronyd(directory: Path, fake_time: str, user: str = "root") -> Iterator[str]:
    """Run a chronyd that believes in `fake_time` ("+10.0s x1.0001"); yield its "host:port"."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "chrony.conf"
    config.write_text(
        f"port {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\nlocal stratum 3\ncmdport 0\n"
        f"bindcmdaddress /\npidfile {directory}/chronyd.pid\n"
    )
    program = shutil.which("chronyd") or "/usr/sbin/chronyd"
    with (directory / "chronyd.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-x", "-d", "-u", user, "-f", str(config)],
            env={
                "LD_PRELOAD": str(libfaketime()),
                "FAKETIME": fake_time,
                "DONT_FAKE_MONOTONIC": "1",
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            },
            stdout=log,
            stderr=log,
        )
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(10)
            # What libfaketime leaves of a process that was killed.
            for left in (f"faketime_shm_{process.pid}", f"sem.faketime_sem_{process.pid}"):
                (_SHM / left).unlink(missing_ok=True)
