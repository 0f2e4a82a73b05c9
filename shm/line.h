/* The arithmetic of a time page: pure functions of its words. tests/properties/test_line.py has the
 * same in Python integers.
 *
 *     base(raw)   = utc_at_as_of + dt + ((dt * rate) >> 48)            dt = raw - as_of
 *     output(raw) = base(raw) + floor(min(dt, slew_end - as_of) * slew_ppb / 10^9)      where dt > 0
 *     growth(raw) = ceil(|dt| * growth_ppb / 10^9) + 1                 where dt != 0
 *     hard interval(raw) = [base + earliest_off - growth, base + latest_off + growth]
 *
 * The hard interval rides on the line without the slew: slewing moves what we say, not what we know.
 * Products take 128 bits (64 would overflow after 66 ms) and results saturate, so that no argument
 * whatever is undefined. The extra nanosecond of growth pays for the two roundings of the line.
 */
#ifndef HOURBOOK_SHM_LINE_H
#define HOURBOOK_SHM_LINE_H

#include <stdbool.h>

#include "layout.h"

typedef __int128 wide_t;

_Static_assert(((wide_t)-1 >> 1) == -1, "the shift of a negative number must be arithmetic");

#define RATE_SHIFT 48
#define BILLION 1000000000

static inline int64_t saturate(wide_t value)
{
    if (value > INT64_MAX)
        return INT64_MAX;
    return value < INT64_MIN ? INT64_MIN : (int64_t)value;
}

/* floor(value / 10^9), in 64 bits where it fits: a 128-bit division costs more than a whole read. */
static inline wide_t floor_billionth(wide_t value)
{
    if (value == (wide_t)(int64_t)value) {
        int64_t narrow = (int64_t)value;
        return narrow / BILLION - (narrow % BILLION < 0);
    }
    return value / BILLION - (value % BILLION < 0);
}

static inline wide_t line_age(const uint64_t *page, int64_t raw_ns)
{
    return (wide_t)raw_ns - (int64_t)page[PAGE_as_of_raw_ns];
}

static inline wide_t line_base(const uint64_t *page, int64_t raw_ns)
{
    wide_t dt = line_age(page, raw_ns);
    return (int64_t)page[PAGE_utc_at_as_of_ns] + dt +
           ((dt * (int64_t)page[PAGE_rate]) >> RATE_SHIFT);
}

/* Before as_of nothing was slewed; from slew_end on the slew stands still, so that a publisher that
 * died in the middle of one does not slew for ever. */
static inline wide_t line_slewed(const uint64_t *page, int64_t raw_ns)
{
    int64_t slew_ppb = (int64_t)page[PAGE_slew_ppb];
    if (slew_ppb == 0)
        return 0;
    int64_t slew_end_ns = (int64_t)page[PAGE_slew_end_raw_ns];
    wide_t span = line_age(page, raw_ns < slew_end_ns ? raw_ns : slew_end_ns);
    return span > 0 ? floor_billionth(span * slew_ppb) : 0;
}

static inline int64_t line_output(const uint64_t *page, int64_t raw_ns)
{
    return saturate(line_base(page, raw_ns) + line_slewed(page, raw_ns));
}

static inline wide_t line_grown(const uint64_t *page, int64_t raw_ns, int64_t ppb)
{
    wide_t dt = line_age(page, raw_ns);
    if (dt == 0)
        return 0;
    return -floor_billionth(-(dt < 0 ? -dt : dt) * ppb);
}

static inline bool is_bounded(const uint64_t *page)
{
    return (int64_t)page[PAGE_earliest_off_ns] != UNBOUNDED_EARLIEST &&
           (int64_t)page[PAGE_latest_off_ns] != UNBOUNDED_LATEST;
}

/* The hard interval at raw_ns, widened where needed to include the output. */
static inline void line_interval(const uint64_t *page, int64_t raw_ns, int64_t *earliest_ns,
                                 int64_t *latest_ns)
{
    if (!is_bounded(page)) {
        *earliest_ns = UNBOUNDED_EARLIEST;
        *latest_ns = UNBOUNDED_LATEST;
        return;
    }
    wide_t base = line_base(page, raw_ns);
    wide_t output = base + line_slewed(page, raw_ns);
    wide_t growth = line_grown(page, raw_ns, (int64_t)page[PAGE_growth_ppb]);
    growth += line_age(page, raw_ns) != 0;
    wide_t earliest = base + (int64_t)page[PAGE_earliest_off_ns] - growth;
    wide_t latest = base + (int64_t)page[PAGE_latest_off_ns] + growth;
    *earliest_ns = saturate(earliest < output ? earliest : output);
    *latest_ns = saturate(latest > output ? latest : output);
}

#endif
