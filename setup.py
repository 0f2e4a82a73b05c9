"""Build the one C extension: the core of the shared segment."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "shm._core",
            sources=["shm/_core.c"],
            depends=["shm/layout.h"],
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter"],
        )
    ]
)
