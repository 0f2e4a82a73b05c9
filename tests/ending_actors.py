"""Actors of which only the end is of interest."""

import logging
import sys
from typing import NoReturn

from actors.base import ActorContext, configure_logging

__all__ = ["Exits", "Raises", "Returns"]


class Returns:
    """Says goodbye in three ways without flushing any, and returns 5."""

    @classmethod
    def main(cls, context: ActorContext) -> int:
        """Live and end."""
        configure_logging(context.log_level)
        print("goodbye on stdout", end="")
        print("goodbye on stderr", end="", file=sys.stderr)
        logging.getLogger("last").warning("goodbye in the log")
        return 5


class Exits:
    """Leaves by ``sys.exit``, with what its configuration says."""

    @classmethod
    def main(cls, context: ActorContext) -> NoReturn:
        """End."""
        sys.exit(context.config["code"])


class Raises:
    """Fails."""

    @classmethod
    def main(cls, context: ActorContext) -> NoReturn:
        """End."""
        raise ValueError(f"{context.name} has had enough")
