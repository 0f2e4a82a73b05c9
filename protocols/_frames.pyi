# One walk over the bytes of a message; its user is protocols.wire.

from typing import Final

from typing_extensions import Buffer

DEPTH_MAX: Final[int]
WHOLE: Final[int]
TOO_DEEP: Final[int]
TOO_MANY: Final[int]
TORN: Final[int]
NO_VALUE: Final[int]

def walk(frame: Buffer, values_max: int, /) -> int: ...
