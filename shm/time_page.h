/* The time page's sequence lock: one writer, any number of readers that never write. This is the
 * writer's half; the readers' is in include/hourbook_clock.h, with the arithmetic of a page.
 *
 *     writer: seq = odd; fence; words; seq = even      reader: seq, words, seq again: even and equal?
 *
 * Beside the page lies its shadow, a second copy under the same protocol that is written only after
 * the page is whole again. So at every instant at least one of the two is complete: a reader that
 * meets an odd number that does not move reads the shadow, and a writer whose predecessor died
 * inside an update repairs the page from it.
 *
 * Monotonic across readers, without any state per call, because
 *   1. a reader reads RAW inside its section, so a reading from the old page is older than
 *   2. the writer's as_of, read after seq is odd, from where the new line goes on at exactly
 *   3. the output of the old one.
 *
 * No Python in here: bench/ and the tear tests compile this header into plain C programs.
 */
#ifndef HOURBOOK_SHM_TIME_PAGE_H
#define HOURBOOK_SHM_TIME_PAGE_H

#include "atomics.h"

/* A writer that was itself put aside for longer than this takes a new as_of, so that no reader has
 * lost patience, and gone on along the old line, later than as_of. (Put aside in the few instructions
 * between that check and the even seq, nothing helps: readers who turned to the shadow then may be
 * ahead by that time times the change of slope, some microseconds at the very worst.) */
#define ANCHOR_NS_MAX (HOURBOOK_PATIENCE_NS / 2)

enum page_anchor {
    ANCHOR_CONTINUE, /* the output goes on where the old page has it now */
    ANCHOR_STEP,     /* the output jumps to the proposal's line: a new epoch */
};

enum page_condition {
    PAGE_EMPTY,    /* never published */
    PAGE_CLEAN,    /* the last writer left between two updates */
    PAGE_REPAIRED, /* it died inside one; the page was restored from the shadow */
    PAGE_TORN,     /* it died inside the first one: a new epoch must begin */
};

static inline void page_store(word_t *page, const uint64_t *words)
{
    for (int i = 1; i < TIME_PAGE_WORD_COUNT; i++)
        store_relaxed(&page[i], words[i]);
}

/* `proposal` holds the line of true UTC as last estimated, with its interval about it, at its own
 * as_of; `current` is the page that readers have now. Turn the proposal into the page that goes on
 * from the current one at as_of_ns: same output, same hard interval, aged. */
static inline void page_anchor(uint64_t *next, const uint64_t *current, const uint64_t *proposal,
                               int64_t as_of_ns, enum page_anchor anchor)
{
    hourbook_wide centre = hourbook_line_base(proposal, as_of_ns);
    int64_t output = anchor == ANCHOR_STEP ? hourbook_saturate(centre)
                                           : hourbook_line_output(current, as_of_ns);
    for (int i = 1; i < TIME_PAGE_WORD_COUNT; i++)
        next[i] = proposal[i];
    if (hourbook_line_is_bounded(proposal)) {
        int64_t growth_ppb = (int64_t)proposal[PAGE_growth_ppb];
        hourbook_wide growth = hourbook_line_grown(proposal, as_of_ns, growth_ppb);
        hourbook_wide earliest = centre + (int64_t)proposal[PAGE_earliest_off_ns] - growth - output;
        hourbook_wide latest = centre + (int64_t)proposal[PAGE_latest_off_ns] + growth - output;
        next[PAGE_earliest_off_ns] = (uint64_t)hourbook_saturate(earliest);
        next[PAGE_latest_off_ns] = (uint64_t)hourbook_saturate(latest);
    }
    next[PAGE_as_of_raw_ns] = (uint64_t)as_of_ns;
    next[PAGE_utc_at_as_of_ns] = (uint64_t)output;
    if (anchor == ANCHOR_STEP)
        next[PAGE_last_step_raw_ns] = (uint64_t)as_of_ns;
}

/* Publish; `current` becomes the new page, its first word the new seq. */
static inline void page_publish(word_t *page, uint64_t *current, const uint64_t *proposal,
                                enum page_anchor anchor)
{
    word_t *shadow = page + TIME_SHADOW_OFFSET / 8;
    uint64_t next[TIME_PAGE_WORD_COUNT];
    uint64_t odd = load_relaxed(&page[PAGE_seq]) | 1; /* after a torn update it is odd already */
    int64_t as_of_ns;

    store_relaxed(&page[PAGE_seq], odd);
    /* Release: no word below is visible before odd is. Full, because as_of must also be read after
     * odd is visible everywhere, else a reader could still finish on the old line past as_of. (What
     * remains is the time by which a processor may read its counter early, some 10 ns: two lines
     * 1000 ppm apart differ by less than a nanosecond there.) */
    fence_full();
    do {
        as_of_ns = hourbook_raw_ns();
        page_anchor(next, current, proposal, as_of_ns, anchor);
        page_store(page, next);
    } while (hourbook_raw_ns() - as_of_ns > ANCHOR_NS_MAX);
    /* Release: who sees even sees every word above. */
    next[PAGE_seq] = odd + 1;
    store_release(&page[PAGE_seq], next[PAGE_seq]);

    /* The page is whole: now the shadow may be changed, by the same protocol. */
    store_relaxed(&shadow[PAGE_seq], odd);
    fence_release();
    page_store(shadow, next);
    store_release(&shadow[PAGE_seq], next[PAGE_seq]);
    for (int i = 0; i < TIME_PAGE_WORD_COUNT; i++)
        current[i] = next[i];
}

/* What a new writer does first: find the last complete page and make it whole again. */
static inline enum page_condition page_recover(word_t *page, uint64_t *current)
{
    word_t *shadow = page + TIME_SHADOW_OFFSET / 8;
    uint64_t seq = load_relaxed(&page[PAGE_seq]);
    uint64_t shadow_seq = load_relaxed(&shadow[PAGE_seq]);
    const word_t *complete = (seq & 1) == 0 ? page : shadow;

    for (int i = 0; i < TIME_PAGE_WORD_COUNT; i++)
        current[i] = load_relaxed(&complete[i]);
    if (seq == 0)
        return PAGE_EMPTY;
    if ((seq & 1) == 0)
        return PAGE_CLEAN;
    if (shadow_seq == 0 || shadow_seq != seq - 1) {
        current[PAGE_seq] = 0;
        return PAGE_TORN;
    }
    uint64_t proposal[TIME_PAGE_WORD_COUNT];
    for (int i = 0; i < TIME_PAGE_WORD_COUNT; i++)
        proposal[i] = current[i];
    page_publish(page, current, proposal, ANCHOR_CONTINUE);
    return PAGE_REPAIRED;
}

#endif
