#!/bin/sh
# Say in one line what a fresh machine lacks, before anything is built. Usage: preflight.sh [PYTHON]
python=${1:-python3}
missing=""
command -v git >/dev/null 2>&1 || missing="$missing git"
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
if ! command -v "$python" >/dev/null 2>&1; then
    missing="$missing python3 python3-venv python3-dev"
else
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "Expected python >= 3.11, got $("$python" -V 2>&1): set PYTHON=/path/to/python3.11 or newer" >&2
        exit 1
    }
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 || missing="$missing python3-venv"
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' \
        || missing="$missing python3-dev"
fi
if [ -n "$missing" ]; then
    echo "something is missing; run: sudo apt install$missing" >&2
    exit 1
fi
