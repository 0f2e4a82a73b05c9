"""Decoding the entries of a feed: what msgspec would return, in little more than half the time.

What an entry has in common with the one before, by whoever it was decoded, is the same object. Pure
but for that; for entries that come from the book, and any bytes else as msgspec decodes them.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from protocols._entries import Decoder
from protocols.entry import Entry

__all__ = ["decode_entry"]

KINDS: Final = "iiiiissbssstoooph"
"""Of its fields, without `missing`, which only readers add."""

decode_entry: Final[Callable[[bytes], Entry]] = Decoder(
    Entry, KINDS, msgspec.msgpack.Decoder(Entry).decode
).decode
"""Decode an entry. Raises what msgspec raises of bytes that are none."""
