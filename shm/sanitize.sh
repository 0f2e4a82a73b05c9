#!/bin/sh
# Build the extensions under AddressSanitizer and UndefinedBehaviorSanitizer in a directory of their
# own and run the tests of what they do:  shm/sanitize.sh PYTHON
#
# Leaks are not looked for: the interpreter itself keeps what it allocated at start until it ends.
set -eu
python=$(realpath -s "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -r "$root/protocols" "$root/hourbook" "$root/shm" "$root/tests" "$root/docs" "$work"
cp "$root/pyproject.toml" "$work"
rm -f "$work"/shm/*.so "$work"/protocols/*.so "$work"/hourbook/*/*.so
suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
cc=${CC:-cc}
build() {
    extension="$work/$1$suffix"
    shift
    "$cc" -shared -fPIC -std=gnu11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
        -fno-sanitize-recover=undefined -Wall -Wextra -Wno-unused-parameter \
        -Wno-missing-field-initializers -I"$include" -I"$work" -o "$extension" "$@"
}
build shm/_core "$work"/shm/*.c
build protocols/_frames "$work/protocols/_frames.c"
build protocols/_entries "$work/protocols/_entries.c"
build protocols/_chain "$work/protocols/_chain.c"
build hourbook/link/_stream "$work"/hourbook/link/*.c
build hourbook/book/_gathered_log "$work/hourbook/book/_gathered_log.c"
build hourbook/book/_packed_rows "$work/hourbook/book/_packed_rows.c"

# The sanitizers must be loaded before the interpreter; objects of the small-object allocator would
# hide overruns from them, so everything comes from malloc.
cd "$work"
LD_PRELOAD="$("$cc" -print-file-name=libasan.so) $("$cc" -print-file-name=libubsan.so)" \
    ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:handle_segv=0 \
    UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc PYTHONPATH="$work" \
    "$python" -m pytest -q -p no:cacheprovider --timeout 300 \
    tests/unit/shm tests/unit/protocols/test_wire.py \
    tests/properties/test_line.py tests/properties/test_ring_model.py \
    tests/properties/test_entry_decoder.py tests/properties/test_chain.py \
    tests/properties/test_gathered_log.py tests/properties/test_packed_rows.py tests/properties/test_zmtp.py \
    tests/unit/hourbook/test_connection.py tests/unit/actors/test_router.py
