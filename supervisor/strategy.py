"""OTP's rules on one page: who else is concerned when one child of a node ends. Pure."""

from collections.abc import Sequence

from supervisor.spec import AutoShutdown, Restart, Strategy

__all__ = ["ends_node", "is_restarted", "others_concerned"]


def is_restarted(restart: Restart, *, is_normal: bool) -> bool:
    """Say whether a child that ended by itself is started again."""
    return restart == "permanent" or (restart == "transient" and not is_normal)


def others_concerned(strategy: Strategy, order: Sequence[str], ended: str) -> tuple[str, ...]:
    """Return the siblings that restart together with `ended`, in start order."""
    if strategy == "one_for_one":
        return ()
    if strategy == "one_for_all":
        return tuple(name for name in order if name != ended)
    return tuple(order[order.index(ended) + 1 :])


def ends_node(auto_shutdown: AutoShutdown, *, significant_left: int) -> bool:
    """Say whether the end of a significant child, which is not restarted, ends its node.

    Args:
        auto_shutdown: the rule of the node.
        significant_left: its other significant children that have not ended.
    """
    if auto_shutdown == "all_significant":
        return significant_left == 0
    return auto_shutdown == "any_significant"
