"""A bell: a descriptor that one thread rings, and that another one watches beside its others.

It is given back when nobody has the bell any more: to close a descriptor that somebody polls could
let him wake for a stranger's.
"""

import os

__all__ = ["Bell"]


class Bell:
    """An eventfd; threads may share it.

    Attributes:
        descriptor: readable from when it was rung until it is hushed.
    """

    descriptor = -1

    def __init__(self) -> None:
        """Make one that is silent."""
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def ring(self) -> None:
        """Wake whoever watches."""
        os.eventfd_write(self.descriptor, 1)

    def hush(self) -> None:
        """Be silent again; for the one who watches, once it has rung."""
        os.eventfd_read(self.descriptor)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
