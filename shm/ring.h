/* The feed ring: a byte ring of records, one writer, any number of readers that never write.
 *
 * Positions count bytes for ever; a position's place is position mod RING_DATA_SIZE. Records lie
 * between tail (oldest still whole) and head (where the next will go), each a header of two words
 * (kind << 32 | payload size, then seq) and its payload, padded with zeros to whole words.
 *
 * The head is a position and a seq that must be read together. There are two of it, and the lowest
 * bit of `publication` says which one counts: the writer fills the other one and then adds one to
 * `publication`. That single store publishes any number of records, changes the futex word (the low
 * half of `publication`) and leaves nothing to repair, wherever the writer may die.
 */
#ifndef HOURBOOK_SHM_RING_H
#define HOURBOOK_SHM_RING_H

#include <stdbool.h>
#include <string.h>

#include "atomics.h"

typedef struct {
    word_t *words; /* the ring region */
    word_t *data;
} ring_t;

typedef struct {
    uint64_t position;
    uint64_t seq;
} ring_head_t;

typedef struct {
    uint64_t seq;
    uint32_t kind;
    uint32_t payload_size;
} ring_record_t;

static inline uint64_t ring_record_size(uint32_t payload_size)
{
    return RING_RECORD_HEADER_SIZE + (((uint64_t)payload_size + 7) & ~(uint64_t)7);
}

static inline word_t *ring_word(const ring_t *ring, uint64_t position)
{
    return &ring->data[(position & (RING_DATA_SIZE - 1)) / 8];
}

/* The head, and the publication that it belongs to. */
static inline uint64_t ring_load_head(const ring_t *ring, ring_head_t *head)
{
    for (;;) {
        /* Acquire: who sees this publication sees its head and all of its records. */
        uint64_t publication = load_acquire(&ring->words[RING_publication]);
        const word_t *words = &ring->words[RING_head_0_position + 2 * (publication & 1)];
        head->position = load_relaxed(&words[0]);
        head->seq = load_relaxed(&words[1]);
        /* This head is only written again after the next publication. As in the time page, the
         * fence makes that one visible to the load below if any word above came from it. */
        fence_acquire();
        if (load_relaxed(&ring->words[RING_publication]) == publication)
            return publication;
        hourbook_relax();
    }
}

/* True while nothing at `position` or after it has been overwritten: what was loaded before this
 * call is then what the writer stored. */
static inline bool ring_is_intact(const ring_t *ring, uint64_t position)
{
    /* Pairs with the fence in ring_make_room: had a load before seen an overwritten word, the load
     * below would see the tail that was moved before it. */
    fence_acquire();
    return position >= load_relaxed(&ring->words[RING_tail_position]);
}

static inline ring_record_t ring_load_header(const ring_t *ring, uint64_t position)
{
    uint64_t first = load_relaxed(ring_word(ring, position));
    return (ring_record_t){
        .seq = load_relaxed(ring_word(ring, position + 8)),
        .kind = (uint32_t)(first >> 32),
        .payload_size = (uint32_t)first,
    };
}

static inline void ring_load_payload(const ring_t *ring, uint64_t position, char *payload,
                                     uint32_t size)
{
    position += RING_RECORD_HEADER_SIZE;
    uint32_t whole = size & ~7U;
    for (uint32_t done = 0; done < whole; done += 8) {
        uint64_t word = load_relaxed(ring_word(ring, position + done));
        memcpy(payload + done, &word, 8);
    }
    if (whole < size) {
        uint64_t word = load_relaxed(ring_word(ring, position + whole));
        memcpy(payload + whole, &word, size - whole);
    }
}

/* -- writer ---------------------------------------------------------------------------------- */

/* Give up the oldest records until `size` bytes fit at `position`. */
static inline void ring_make_room(const ring_t *ring, uint64_t position, uint64_t size)
{
    uint64_t tail = load_relaxed(&ring->words[RING_tail_position]);
    uint64_t first_kept = tail;
    while (position + size - first_kept > RING_DATA_SIZE)
        first_kept += ring_record_size(ring_load_header(ring, first_kept).payload_size);
    if (first_kept == tail)
        return;
    store_relaxed(&ring->words[RING_tail_position], first_kept);
    /* Release: the tail is seen to have moved before any word of the new record is. */
    fence_release();
}

static inline void ring_store_record(const ring_t *ring, uint64_t position, ring_record_t record,
                                     const char *payload)
{
    store_relaxed(ring_word(ring, position), (uint64_t)record.kind << 32 | record.payload_size);
    store_relaxed(ring_word(ring, position + 8), record.seq);
    position += RING_RECORD_HEADER_SIZE;
    for (uint32_t done = 0; done < record.payload_size; done += 8) {
        uint64_t word = 0;
        uint32_t left = record.payload_size - done;
        memcpy(&word, payload + done, left < 8 ? left : 8);
        store_relaxed(ring_word(ring, position + done), word);
    }
}

static inline void ring_publish_head(const ring_t *ring, ring_head_t head)
{
    uint64_t publication = load_relaxed(&ring->words[RING_publication]) + 1;
    word_t *words = &ring->words[RING_head_0_position + 2 * (publication & 1)];
    /* Release: the last publication is seen before this head, the older of the two, changes. */
    fence_release();
    store_relaxed(&words[0], head.position);
    store_relaxed(&words[1], head.seq);
    /* Release: who sees the publication sees its head and records. */
    store_release(&ring->words[RING_publication], publication);
}

#endif
