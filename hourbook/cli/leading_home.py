"""``--home DIR`` before the command, as many expect it, moved to where it is parsed. Pure."""

from collections.abc import Collection, Sequence

__all__ = ["count_home_words", "home_after_command"]


def home_after_command(argv: Sequence[str], groups: Collection[str] = ()) -> list[str]:
    """Return ``--home DIR now`` as ``now --home DIR``.

    Args:
        argv: without the name of the program.
        groups: commands of which the next word is a part.
    """
    count = count_home_words(argv)
    leading, rest = argv[:count], argv[count:]
    name_words = 2 if rest and rest[0] in groups else 1
    return [*rest[:name_words], *leading, *rest[name_words:]]


def count_home_words(argv: Sequence[str]) -> int:
    """Return how many words at the beginning name the home."""
    count = 0
    while count < len(argv) and argv[count].partition("=")[0] == "--home":
        count += 1 if "=" in argv[count] else 2
    return count
