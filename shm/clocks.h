/* The kernel's clocks, in nanoseconds. Each call is a vDSO read of about 20 ns, not a system call. */
#ifndef HOURBOOK_SHM_CLOCKS_H
#define HOURBOOK_SHM_CLOCKS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "line.h"

static inline int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * BILLION + now.tv_nsec;
}

static inline int64_t clock_raw_ns(void) { return clock_ns(CLOCK_MONOTONIC_RAW); }

/* A shorter suspend is not told from the lag of the coarse clock; real ones take far longer. */
#define SUSPEND_NS_MIN 20000000

/* BOOTTIME counts suspend and MONOTONIC does not: has their difference moved since the page?
 *
 * The coarse clock lags by up to a tick (10 ms at most) but costs 5 ns, and now() pays for each. The
 * two cannot be read at once, and we may be put aside between them for any time: so a difference
 * that looks moved is believed only when BOOTTIME bracketed by two precise readings says so too. */
static inline bool has_suspended_since(int64_t page_difference_ns)
{
    int64_t coarse_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
    wide_t moved_ns = (wide_t)clock_ns(CLOCK_BOOTTIME) - coarse_ns - page_difference_ns;
    if (moved_ns >= -SUSPEND_NS_MIN && moved_ns <= SUSPEND_NS_MIN)
        return false;
    int64_t before_ns = clock_ns(CLOCK_MONOTONIC);
    int64_t boot_ns = clock_ns(CLOCK_BOOTTIME);
    int64_t after_ns = clock_ns(CLOCK_MONOTONIC);
    return (wide_t)boot_ns - after_ns - page_difference_ns > SUSPEND_NS_MIN ||
           (wide_t)boot_ns - before_ns - page_difference_ns < -SUSPEND_NS_MIN;
}

#endif
