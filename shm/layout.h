/* Where everything in the segment lies, for C. docs/SEGMENT.md tells what it means, shm/layout.py is
 * the same for Python, and tests/unit/shm/test_layout.py compares the three.
 *
 * The time page is in include/hourbook_clock.h, which is also what C programs read the clock with.
 *
 * Every field is one naturally aligned 64-bit word in the byte order of the machine, because a word
 * is what can be loaded and stored atomically. The tables give byte offsets; the enums count words;
 * the assertions below tie the one to the other.
 */
#ifndef HOURBOOK_SHM_LAYOUT_H
#define HOURBOOK_SHM_LAYOUT_H

#include "include/hourbook_clock.h"

typedef _Atomic uint64_t word_t;

#define SEGMENT_VERSION HOURBOOK_LAYOUT_VERSION
#define SEGMENT_SIZE HOURBOOK_SEGMENT_SIZE
#define SEGMENT_LIVE HOURBOOK_SEGMENT_LIVE
#define SEGMENT_CLOSED 2

#define TIME_OFFSET HOURBOOK_TIME_OFFSET
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
#define TIME_PAGE_WORDS HOURBOOK_TIME_PAGE_WORDS

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
_Static_assert(TIME_SHADOW_OFFSET == TIME_PAGE_SIZE, "the shadow follows the page");
_Static_assert(TIME_SHADOW_OFFSET == HOURBOOK_SHADOW_WORDS * 8, "and readers know it");
_Static_assert(HEADER_state == (int)HOURBOOK_HEADER_state, "header words agree");
_Static_assert(HEADER_boot_id_first == (int)HOURBOOK_HEADER_boot_id, "header words agree");
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

#endif
