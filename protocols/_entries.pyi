# Decoding of entries that have much in common; its user is protocols.entry_decoder.

from collections.abc import Callable
from typing import Generic, TypeVar, final

_T = TypeVar("_T")

@final
class Decoder(Generic[_T]):
    # One of `kinds` for each value of the array: i int, s text, t tuple of texts, b bytes, o bytes
    # or nil, p bytes that were the last h, which is the field after it.
    def __new__(
        cls, type_: Callable[..., _T], kinds: str, otherwise: Callable[[bytes], _T], /
    ) -> Decoder[_T]: ...
    def decode(self, encoded: bytes, /) -> _T: ...
