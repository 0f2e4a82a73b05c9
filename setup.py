"""Build the two C extensions: the core of the shared segment, and the walk over a message."""

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


def extension(name: str, directory: str) -> Extension:
    """Return an extension made of all C files of a directory."""
    return Extension(
        name,
        sources=sorted(str(path) for path in Path(directory).glob("*.c")),
        depends=sorted(str(path) for path in Path(directory).rglob("*.h")),
        extra_compile_args=FLAGS,
    )


setup(ext_modules=[extension("shm._core", "shm"), extension("protocols._frames", "protocols")])
