/* The few atomic operations that the segment is built from, under names that say their order.
 *
 * Words shared between processes are only ever touched through these: a plain access beside a
 * concurrent store would be a data race, which C11 leaves undefined and compilers do exploit.
 */
#ifndef HOURBOOK_SHM_ATOMICS_H
#define HOURBOOK_SHM_ATOMICS_H

#include <stdatomic.h>

#include "layout.h"

static inline uint64_t load_relaxed(const word_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* Nothing that follows in this thread is done before this load. */
static inline uint64_t load_acquire(const word_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static inline void store_relaxed(word_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

/* Nothing that precedes in this thread is seen by others after this store. */
static inline void store_release(word_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

/* Loads before it stay before everything after it. */
static inline void fence_acquire(void) { atomic_thread_fence(memory_order_acquire); }

/* Everything before it stays before the stores after it. */
static inline void fence_release(void) { atomic_thread_fence(memory_order_release); }

/* The same, and stores before it are visible everywhere before anything after it is done. */
static inline void fence_full(void) { atomic_thread_fence(memory_order_seq_cst); }

#endif
