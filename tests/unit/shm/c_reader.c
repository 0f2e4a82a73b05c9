/* A program of a user: it knows the clock by hourbook_clock.h alone. Also compiled as C++17.
 *
 *     c_reader PATH at RAW_NS...   one line for each instant: time earliest latest sigma status
 *     c_reader PATH race COUNT     reads that often, and until 200 publications were seen; prints
 *                                  how many readings went back, lay outside their interval or had a
 *                                  wrong status, and how many publications there were
 *     c_reader PATH replaced       waits until another segment is read; prints its status
 */
#include "hourbook_clock.h"

#include <stdio.h>
#include <stdlib.h>

static int print_instants(hourbook_clock *clock, int count, char **raw_ns)
{
    for (int i = 0; i < count; i++) {
        hourbook_reading reading = hourbook_clock_at(clock, (int64_t)strtoll(raw_ns[i], NULL, 10));
        printf("%lld %lld %lld %lld %d\n", (long long)reading.time_ns,
               (long long)reading.earliest_ns, (long long)reading.latest_ns,
               (long long)reading.sigma_ns, (int)reading.status);
    }
    return 0;
}

#define PAGES_MIN 200 /* where both share one core, each costs the scheduler a change of process */

static int race(hourbook_clock *clock, long count)
{
    long backward = 0, outside = 0, other = 0, pages = 0;
    int64_t newest_ns = INT64_MIN;
    uint64_t seq = 0;
    for (long i = 0; i < count || pages < PAGES_MIN; i++) {
        hourbook_reading now = hourbook_clock_now(clock);
        uint64_t next = hourbook_load(&clock->segment[HOURBOOK_TIME_OFFSET / 8]);
        pages += next != seq;
        seq = next;
        outside += now.time_ns < now.earliest_ns || now.time_ns > now.latest_ns;
        other += now.status != HOURBOOK_SYNCHRONIZED && now.status != HOURBOOK_FREE_RUNNING;
        /* Free-running is read from the shadow, while the writer was put aside inside an update:
         * the one case in which output may run ahead of the next page (see time_page.h). */
        if (now.status != HOURBOOK_SYNCHRONIZED)
            continue;
        backward += now.time_ns < newest_ns;
        newest_ns = now.time_ns > newest_ns ? now.time_ns : newest_ns;
    }
    printf("%ld %ld %ld %ld\n", backward, outside, other, pages);
    return 0;
}

static int wait_replaced(hourbook_clock *clock)
{
    hourbook_reading now = hourbook_clock_now(clock), in_a_while = now;
    in_a_while.latest_ns += INT64_C(1000) * HOURBOOK_BILLION; /* nobody waits so long: a step */
    puts("open");
    fflush(stdout);
    while (!hourbook_is_before(in_a_while, now))
        now = hourbook_clock_now(clock);
    printf("%d\n", (int)now.status);
    return 0;
}

int main(int argc, char **argv)
{
    hourbook_clock clock;
    hourbook_error error = hourbook_clock_open(&clock, argc > 1 ? argv[1] : "");
    int result = 2;
    if (error != HOURBOOK_OK) {
        printf("error %d\n", (int)error);
        return 1;
    }
    if (argc > 3 && strcmp(argv[2], "at") == 0)
        result = print_instants(&clock, argc - 3, argv + 3);
    else if (argc > 3 && strcmp(argv[2], "race") == 0)
        result = race(&clock, strtol(argv[3], NULL, 10));
    else if (argc > 2)
        result = wait_replaced(&clock);
    hourbook_clock_close(&clock);
    return result;
}
