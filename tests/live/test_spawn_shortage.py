"""A spawn that meets its limit of descriptors half-way: refused, and nothing of it is left."""

import contextlib
import gc
import resource
from pathlib import Path

import pytest
from supervised import actor

from actors.contract import ActorContext
from supervisor.process import ActorProcess, prepare_spawning

pytestmark = pytest.mark.live

SPAWN_NEEDS = 8  # two pipes for what it prints, two to be born through


def open_descriptors() -> dict[int, str]:
    """Map what this process holds open to what it stands for, without the listing itself."""
    found = {}
    for link in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):
            found[int(link.name)] = str(link.readlink())
    return found


@pytest.mark.parametrize("left", range(SPAWN_NEEDS))
def test_a_shortage_of_descriptors_leaves_nothing_behind(tmp_path: Path, left: int) -> None:
    """Wherever a spawn runs out of descriptors, it fails, and as many are open as before."""
    prepare_spawning()
    gc.collect()  # what tests before this one have left open
    context = ActorContext("a", 1, str(tmp_path), str(tmp_path), {}, "info")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = open_descriptors()
    free = [fd for fd in range(len(before) + left + 1) if fd not in before]

    resource.setrlimit(resource.RLIMIT_NOFILE, (free[left], hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            ActorProcess(actor("a"), context)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    gc.collect()  # ``multiprocess`` closes its own pipes with its object
    assert open_descriptors() == before
