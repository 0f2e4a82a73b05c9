/* The reader's hot path without Python: nanoseconds a read, and a bare clock_gettime beside it.
 *
 * Prints two lines: read_ns, raw_ns; the best of many short runs, taken in turns. */
#include <stdio.h>

#include "time_page.h"

#define RUNS 200
#define READS 20000

static word_t region[2 * TIME_PAGE_WORD_COUNT] __attribute__((aligned(64)));

int main(void)
{
    uint64_t current[TIME_PAGE_WORD_COUNT] = {0}, proposal[TIME_PAGE_WORD_COUNT] = {0};
    uint64_t page[PAGE_state], stuck_seq = 0;
    int64_t best_read_ns = INT64_MAX, best_raw_ns = INT64_MAX, raw_ns;
    volatile int64_t sink;

    proposal[PAGE_as_of_raw_ns] = (uint64_t)hourbook_raw_ns();
    proposal[PAGE_rate] = (uint64_t)(-12345678901);
    page_publish(region, current, proposal, ANCHOR_STEP);
    for (int run = 0; run < RUNS; run++) {
        int64_t started_ns = hourbook_clock_ns(CLOCK_MONOTONIC);
        for (int i = 0; i < READS; i++) {
            hourbook_page_read((const uint64_t *)region, page, PAGE_state, &raw_ns, &stuck_seq);
            sink = hourbook_line_output(page, raw_ns);
        }
        int64_t between_ns = hourbook_clock_ns(CLOCK_MONOTONIC);
        for (int i = 0; i < READS; i++)
            sink = hourbook_raw_ns();
        int64_t ended_ns = hourbook_clock_ns(CLOCK_MONOTONIC);
        if (between_ns - started_ns < best_read_ns)
            best_read_ns = between_ns - started_ns;
        if (ended_ns - between_ns < best_raw_ns)
            best_raw_ns = ended_ns - between_ns;
    }
    (void)sink;
    printf("%.2f\n%.2f\n", (double)best_read_ns / READS, (double)best_raw_ns / READS);
    return 0;
}
