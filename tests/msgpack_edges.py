"""Values at which MessagePack changes the form of what it writes, as strategies."""

from typing import Final

from hypothesis import strategies as st

__all__ = ["INTEGERS", "SIZES"]

_I64_MAX: Final = (1 << 63) - 1
_EDGES: Final = [
    n + d for bits in (5, 7, 8, 15, 16, 31, 32) for n in (1 << bits, -1 << bits) for d in (-1, 0)
]
INTEGERS: Final = st.sampled_from([*_EDGES, 0, -1, _I64_MAX, -_I64_MAX - 1]) | st.integers(
    -_I64_MAX - 1, _I64_MAX
)
"""All of 64 bits."""
SIZES: Final = st.sampled_from([0, 1, 15, 16, 31, 32, 255, 256, 1024, 65535, 65536])
"""Lengths of text, of bytes and of arrays."""
