/* Where everything in the segment lies, for C. docs/SEGMENT.md tells what it means, shm/layout.py is
 * the same for Python, and tests/unit/shm/test_layout.py compares the three.
 *
 * Every field is one naturally aligned 64-bit word in the byte order of the machine, because a word
 * is what can be loaded and stored atomically. The tables give byte offsets; the enums count words;
 * the assertions below tie the one to the other.
 */
#ifndef HOURBOOK_SHM_LAYOUT_H
#define HOURBOOK_SHM_LAYOUT_H

#include <stdint.h>

typedef _Atomic uint64_t word_t;

#define SEGMENT_VERSION 1
#define SEGMENT_SIZE 4239360
#define SEGMENT_LIVE 1
#define SEGMENT_CLOSED 2

#define TIME_OFFSET 4096
#define TIME_SIZE 4096
#define TIME_SHADOW_OFFSET 256
#define TIME_PAGE_SIZE 256
#define TIME_PAGE_WORD_COUNT 32

#define GENERATIONS_OFFSET 8192
#define GENERATIONS_SIZE 32768
#define GENERATION_COUNT 4096

#define RING_OFFSET 40960
#define RING_SIZE 4198400
#define RING_DATA_OFFSET 4096
#define RING_DATA_SIZE 4194304
#define RING_PAYLOAD_BYTES_MAX 1048576
#define RING_RECORD_HEADER_SIZE 16
#define RING_RECORD_ENTRY 0
#define RING_RECORD_STUB 1

/* Byte offsets from the start of the segment. */
#define HEADER_WORDS(X)        \
    X(0, magic)                \
    X(8, version)              \
    X(16, version_min)         \
    X(24, size)                \
    X(32, boot_id_first)       \
    X(40, boot_id_last)        \
    X(48, segment_id)          \
    X(56, state)

/* Byte offsets from the start of the time region; the shadow has the same, 256 further on. */
#define TIME_PAGE_WORDS(X)               \
    X(0, seq)                            \
    X(8, as_of_raw_ns)                   \
    X(16, utc_at_as_of_ns)               \
    X(24, rate)                          \
    X(32, slew_ppb)                      \
    X(40, slew_end_raw_ns)               \
    X(48, state)                         \
    X(56, void_after_raw_ns)             \
    X(64, earliest_off_ns)               \
    X(72, latest_off_ns)                 \
    X(80, growth_ppb)                    \
    X(88, sigma_offset_ns)               \
    X(96, sigma_rate_ppb)                \
    X(104, q68_ns)                       \
    X(112, q95_ns)                       \
    X(120, published_raw_ns)             \
    X(128, last_sample_raw_ns)           \
    X(136, poll_ns)                      \
    X(144, boottime_minus_monotonic_ns)  \
    X(152, vmclock_marker)               \
    X(160, last_step_raw_ns)             \
    X(168, steps)                        \
    X(176, disruptions)                  \
    X(184, source)                       \
    X(192, sources)                      \
    X(200, confidence_ppm)               \
    X(208, samples)                      \
    X(216, publications)                 \
    X(224, leap_utc_s)                   \
    X(232, leap_tai_s)                   \
    X(240, leap_smear)                   \
    X(248, bound_violations)

/* Byte offsets from the start of the ring region. The two heads share no line with the tail. */
#define RING_WORDS(X)          \
    X(0, publication)          \
    X(8, tail_position)        \
    X(64, head_0_position)     \
    X(72, head_0_seq)          \
    X(80, head_1_position)     \
    X(88, head_1_seq)

#define HEADER_ENUM(offset, name) HEADER_##name = (offset) / 8,
#define PAGE_ENUM(offset, name) PAGE_##name,
#define RING_ENUM(offset, name) RING_##name = (offset) / 8,
enum header_word { HEADER_WORDS(HEADER_ENUM) };
enum page_word { TIME_PAGE_WORDS(PAGE_ENUM) PAGE_WORD_COUNT };
enum ring_word { RING_WORDS(RING_ENUM) };

#define PAGE_ASSERT(offset, name) \
    _Static_assert(PAGE_##name * 8 == (offset), "time page: " #name " is not at " #offset);
TIME_PAGE_WORDS(PAGE_ASSERT)

_Static_assert(PAGE_WORD_COUNT == TIME_PAGE_WORD_COUNT, "the time page has 32 words");
_Static_assert(TIME_PAGE_WORD_COUNT * 8 == TIME_PAGE_SIZE, "the time page has 256 bytes");
_Static_assert(PAGE_void_after_raw_ns * 8 + 8 == 64, "time_ns needs the first cache line only");
_Static_assert(TIME_SHADOW_OFFSET == TIME_PAGE_SIZE, "the shadow follows the page");
_Static_assert(GENERATIONS_OFFSET == TIME_OFFSET + TIME_SIZE, "generations follow the time page");
_Static_assert(GENERATIONS_SIZE == GENERATION_COUNT * 8, "one word for each bucket");
_Static_assert(RING_OFFSET == GENERATIONS_OFFSET + GENERATIONS_SIZE, "the ring follows");
_Static_assert(RING_SIZE == RING_DATA_OFFSET + RING_DATA_SIZE, "ring header, then its data");
_Static_assert(SEGMENT_SIZE == RING_OFFSET + RING_SIZE, "nothing follows the ring");
_Static_assert((RING_DATA_SIZE & (RING_DATA_SIZE - 1)) == 0, "positions wrap with a mask");
_Static_assert(RING_PAYLOAD_BYTES_MAX * 4 <= RING_DATA_SIZE, "a record fills a quarter at most");
_Static_assert(sizeof(word_t) == 8 && _Alignof(word_t) == 8, "a word is eight aligned bytes");
_Static_assert(__atomic_always_lock_free(8, 0), "a word needs no lock");

/* The page's state word: epoch in the upper half, then 24 bits of flags, then the status. */
#define STATE_STATUS(state) ((state) & 0xff)
#define STATE_FLAGS(state) (((state) >> 8) & 0xffffff)
#define STATE_EPOCH(state) ((state) >> 32)

enum clock_status { UNKNOWN = 0, SYNCHRONIZED = 1, FREE_RUNNING = 2, DISRUPTED = 3 };

/* Offsets of an interval that has no bound. */
#define UNBOUNDED_EARLIEST INT64_MIN
#define UNBOUNDED_LATEST INT64_MAX

#define FRESH_NS 5000000000 /* without a publication for longer, the clock runs free */
#define FRESH_POLLS 4       /* without an accepted sample for more polls: the same */

#endif
