"""A VFS that writes down what is done to its file, under the one that gathers: SQLite is not there.

A program of its own: the VFS below the gathering one is found once in a process.

    python recorded_vfs.py '[["write", 24, 0], ["sync"]]' 4096

prints what each step answered, and the calls that its file has seen meanwhile, as JSON. The file
says that it is so long, whatever is written. A write at FULL_AT finds no room.
"""

import ctypes
import json
import sys
from typing import Any

from hourbook.book._gathered_log import register

OPEN_WAL, FULL, FULL_AT = 0x80000, 13, 1_000_000
METHODS = (
    "close", "read", "write", "truncate", "sync", "size", "lock", "unlock", "check_lock", "control",
    "sector_size", "characteristics",
)  # fmt: skip
OPEN = 5
"""Which pointer of a VFS opens a file; its first three numbers are two pointers wide."""
Int, Pointer, Offset = ctypes.c_int, ctypes.c_void_p, ctypes.c_int64
SIGNATURES: dict[str, list[Any]] = {
    "read": [Pointer, Int, Offset], "write": [Pointer, Int, Offset], "truncate": [Offset],
    "sync": [Int], "size": [Pointer], "lock": [Int], "unlock": [Int], "check_lock": [Pointer],
    "control": [Int, Pointer],
}  # fmt: skip
calls: list[list[Any]] = []
kept: list[Any] = []


def recorder(name: str) -> Any:
    """Return a method of a file that writes down its name and its numbers."""

    def method(_file: int, *arguments: Any) -> int:
        said = [a for a, kind in zip(arguments, kinds, strict=True) if kind is not Pointer]
        calls.append([name, *said])
        if name == "size":
            ctypes.cast(arguments[0], ctypes.POINTER(Offset))[0] = int(sys.argv[2])
        return FULL if name == "write" and said[1] == FULL_AT else 0

    kinds = SIGNATURES.get(name, [])
    made = ctypes.CFUNCTYPE(Int, Pointer, *kinds)(method)
    kept.append(made)
    return ctypes.cast(made, Pointer).value


methods = (ctypes.c_void_p * 13)(1, *map(recorder, METHODS))
own = (ctypes.c_void_p * 24)()
for place, number in enumerate((2, 8, 512)):  # version, size of a file, of a path
    ctypes.cast(own, ctypes.POINTER(Int))[place] = number


def open_file(_vfs: int, _name: int, file: int, _flags: int, _out: int) -> int:
    """Give a file its methods."""
    ctypes.cast(file, ctypes.POINTER(Pointer))[0] = ctypes.addressof(methods)
    return 0


def find(_name: int) -> int:
    """Find the only VFS that there is."""
    return ctypes.addressof(own)


def enter(vfs: int, _is_default: int) -> int:
    """Take in the one that gathers."""
    kept.append(vfs)
    return 0


Open = ctypes.CFUNCTYPE(Int, Pointer, Pointer, Pointer, Int, Pointer)
FUNCTIONS = (
    Open(open_file),
    ctypes.CFUNCTYPE(Pointer, Pointer)(find),
    ctypes.CFUNCTYPE(Int, Pointer, Int)(enter),
)


def main() -> None:
    """Do each step to a log."""
    own[OPEN], *addresses = (ctypes.cast(function, Pointer).value or 0 for function in FUNCTIONS)
    assert register(*addresses)
    gathering = ctypes.cast(kept[-1], ctypes.POINTER(Pointer))
    space = (ctypes.c_char * ctypes.cast(kept[-1], ctypes.POINTER(Int))[1])()
    file = ctypes.addressof(space)
    assert Open(gathering[OPEN] or 0)(kept[-1], None, file, OPEN_WAL, None) == 0
    table = ctypes.cast(ctypes.cast(file, ctypes.POINTER(Pointer))[0] or 0, ctypes.POINTER(Pointer))
    for name, *numbers in json.loads(sys.argv[1]):
        calls.clear()
        kinds, said = SIGNATURES.get(name, []), iter(numbers)
        buffer = ctypes.create_string_buffer(1 << 20)
        arguments = [ctypes.addressof(buffer) if kind is Pointer else next(said) for kind in kinds]
        call = ctypes.CFUNCTYPE(Int, Pointer, *kinds)(table[1 + METHODS.index(name)] or 0)
        print(json.dumps([call(file, *arguments), list(calls)]))


if __name__ == "__main__":
    main()
