"""How a failure reaches a model: as an answer of one line. For the modules with tools."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from mcp.server.mcpserver.exceptions import ToolError

from protocols import errors

__all__ = ["as_tool_error"]

P = ParamSpec("P")
R = TypeVar("R")


def as_tool_error(function: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors that we raise on purpose into tool errors, which carry their text."""

    @wraps(function)
    def tool(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except errors.HourbookError as error:
            raise ToolError(str(error)) from None

    return tool
