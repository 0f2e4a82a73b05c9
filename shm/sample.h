/* One look at the time page, and what follows from it: the reading that a caller gets. Pure but for
 * the Python objects that snapshot.c builds. */
#ifndef HOURBOOK_SHM_SAMPLE_H
#define HOURBOOK_SHM_SAMPLE_H

#include "core.h"
#include "time_page.h"

typedef struct {
    enum page_kind kind;
    bool suspended;    /* the machine slept since the page was written, and RAW slept with it */
    int64_t now_raw_ns; /* when the look was taken */
    int64_t raw_ns;     /* which instant it is about */
    uint64_t page[TIME_PAGE_WORD_COUNT];
} sample_t;

/* A dead publisher cannot downgrade itself, so the status is worked out here, from ages. */
static inline enum clock_status sample_status(const sample_t *sample)
{
    const uint64_t *page = sample->page;
    if (sample->kind == PAGE_NONE)
        return UNKNOWN;
    uint64_t stored = STATE_STATUS(page[PAGE_state]);
    int64_t void_after_ns = (int64_t)page[PAGE_void_after_raw_ns];
    if (stored == UNKNOWN || stored > DISRUPTED || sample->now_raw_ns >= void_after_ns ||
        sample->raw_ns >= void_after_ns || sample->raw_ns < (int64_t)page[PAGE_last_step_raw_ns])
        return UNKNOWN;
    if (sample->suspended)
        return DISRUPTED;
    if (stored != SYNCHRONIZED)
        return (enum clock_status)stored;
    wide_t age = (wide_t)sample->now_raw_ns - (int64_t)page[PAGE_published_raw_ns];
    wide_t sample_age = (wide_t)sample->now_raw_ns - (int64_t)page[PAGE_last_sample_raw_ns];
    bool is_fresh = sample->kind == PAGE_LIVE && age <= FRESH_NS &&
                    sample_age <= (wide_t)FRESH_POLLS * (int64_t)page[PAGE_poll_ns];
    return is_fresh ? SYNCHRONIZED : FREE_RUNNING;
}

/* Without a page there is still the kernel's own clock, about which we promise nothing. */
static inline int64_t sample_time(const sample_t *sample)
{
    return sample->kind == PAGE_NONE ? clock_ns(CLOCK_REALTIME)
                                     : line_output(sample->page, sample->raw_ns);
}

static inline void sample_interval(const sample_t *sample, int64_t *earliest_ns,
                                   int64_t *latest_ns)
{
    *earliest_ns = UNBOUNDED_EARLIEST;
    *latest_ns = UNBOUNDED_LATEST;
    if (sample->kind != PAGE_NONE && !sample->suspended &&
        sample->raw_ns >= (int64_t)sample->page[PAGE_last_step_raw_ns])
        line_interval(sample->page, sample->raw_ns, earliest_ns, latest_ns);
}

/* Offset and rate add up here, as if both erred the same way: simple, and never too small. */
static inline int64_t sample_sigma(const sample_t *sample)
{
    const uint64_t *page = sample->page;
    if (sample->kind == PAGE_NONE)
        return INT64_MAX;
    return saturate((int64_t)page[PAGE_sigma_offset_ns] +
                    line_grown(page, sample->raw_ns, (int64_t)page[PAGE_sigma_rate_ppb]));
}

/* Every field of the page and what follows from it, as the named tuple `Snapshot`. */
PyObject *snapshot_new(PyTypeObject *type, PyObject *statuses, const sample_t *sample);

#endif
