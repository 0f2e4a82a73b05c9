# One walk over the bytes of a message, or of a value; its users are protocols.wire and .entry.

from typing import Final

from typing_extensions import Buffer

DEPTH_MAX: Final[int]
WHOLE: Final[int]
TOO_DEEP: Final[int]
TOO_MANY: Final[int]
TORN: Final[int]
NO_VALUE: Final[int]

def walk(frame: Buffer, values_max: int, /) -> int: ...
def is_plain(encoded: Buffer, /) -> bool: ...
