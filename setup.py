"""Build the C extensions: segment; messages, entries, their chain; connections; log and rows."""

from pathlib import Path

from setuptools import Extension, setup

FLAGS = [
    "-std=gnu11",  # C11 and what Linux adds to it: clocks, futexes
    "-O2",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",  # method signatures are CPython's
    "-Wno-missing-field-initializers",  # and so are its tables
]


def extension(name: str, sources: str) -> Extension:
    """Return an extension made of all C files that fit a pattern."""
    return Extension(
        name,
        sources=sorted(str(path) for path in Path().glob(sources)),
        depends=sorted(str(path) for path in Path().glob("[hps]*/**/*.h")),
        include_dirs=["."],
        extra_compile_args=FLAGS,
    )


setup(
    ext_modules=[
        extension("shm._core", "shm/*.c"),
        extension("protocols._frames", "protocols/_frames.c"),
        extension("protocols._entries", "protocols/_entries.c"),
        extension("protocols._chain", "protocols/_chain.c"),
        extension("hourbook.link._stream", "hourbook/link/*.c"),
        extension("hourbook.book._gathered_log", "hourbook/book/_gathered_log.c"),
        extension("hourbook.book._packed_rows", "hourbook/book/_packed_rows.c"),  # of SQLite's
    ]
)
