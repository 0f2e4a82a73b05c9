"""Build the one C extension: the core of the shared segment."""

from pathlib import Path

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "shm._core",
            sources=sorted(str(path) for path in Path("shm").glob("*.c")),
            depends=sorted(str(path) for path in Path("shm").rglob("*.h")),
            extra_compile_args=[
                "-std=gnu11",  # C11 and what Linux adds to it: clocks, futexes
                "-O2",
                "-fvisibility=hidden",
                "-Wall",
                "-Wextra",
                "-Wno-unused-parameter",  # method signatures are CPython's
                "-Wno-missing-field-initializers",  # and so are its tables
            ],
        )
    ]
)
