/* One thread publishes at full speed, one reads: prints how many reads there were, how many came
 * from the shadow, how many were torn, and how many went back in time.
 *
 * `tear READS` makes that many; `tear READS first` ends with the first fault.
 *
 * All words that anchoring leaves alone carry the same number, so a mixture shows. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "time_page.h"

static word_t region[2 * TIME_PAGE_WORD_COUNT] __attribute__((aligned(64)));
static _Atomic int stop;

static void *publish(void *unused)
{
    uint64_t current[TIME_PAGE_WORD_COUNT] = {0};
    uint64_t proposal[TIME_PAGE_WORD_COUNT];
    for (uint64_t number = 1; !atomic_load(&stop); number++) {
        for (int i = 1; i < TIME_PAGE_WORD_COUNT; i++)
            proposal[i] = number;
        proposal[PAGE_as_of_raw_ns] = (uint64_t)hourbook_raw_ns();
        proposal[PAGE_utc_at_as_of_ns] = proposal[PAGE_as_of_raw_ns];
        proposal[PAGE_rate] = (uint64_t)((int64_t)(number % 3) - 1) << 46; /* -25, 0, 25 % */
        proposal[PAGE_slew_ppb] = 0;
        page_publish(region, current, proposal, number == 1 ? ANCHOR_STEP : ANCHOR_CONTINUE);
    }
    return unused;
}

int main(int argc, char **argv)
{
    long wanted = argc > 1 ? atol(argv[1]) : 1000000;
    long reads = 0, stale = 0, torn = 0, backward = 0;
    int64_t newest_ns = INT64_MIN;
    uint64_t page[TIME_PAGE_WORD_COUNT], stuck_seq = 0;
    pthread_t writer;

    pthread_create(&writer, NULL, publish, NULL);
    while (reads < wanted && (argc < 3 || torn + backward == 0)) {
        int64_t raw_ns;
        hourbook_page_kind kind =
            hourbook_page_read((const uint64_t *)region, page, TIME_PAGE_WORD_COUNT, &raw_ns, &stuck_seq);
        if (kind == HOURBOOK_PAGE_NONE)
            continue;
        reads++;
        stale += kind == HOURBOOK_PAGE_STALE;
        int mixed = 0;
        for (int i = PAGE_growth_ppb; i < TIME_PAGE_WORD_COUNT; i++)
            mixed |= i != PAGE_last_step_raw_ns && page[i] != page[PAGE_growth_ppb];
        torn += mixed;
        int64_t time_ns = hourbook_line_output(page, raw_ns);
        /* The shadow is the old line, followed on while the writer was put aside inside an update:
         * the one case in which output may run ahead of the next page (see time_page.h). */
        if (mixed || kind != HOURBOOK_PAGE_LIVE)
            continue;
        backward += time_ns < newest_ns;
        if (time_ns > newest_ns)
            newest_ns = time_ns;
    }
    atomic_store(&stop, 1);
    pthread_join(writer, NULL);
    printf("{\"reads\": %ld, \"stale\": %ld, \"torn\": %ld, \"backward\": %ld}\n", reads, stale,
           torn, backward);
    return 0;
}
