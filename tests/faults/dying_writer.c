/* Writes to a segment and is killed after the k-th store: dying_writer PATH page|ring K.
 *
 * The test edits atomics.h so that every store calls after_store(). */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static long stores_left = -1;

static void after_store(void)
{
    if (stores_left > 0 && --stores_left == 0)
        kill(getpid(), SIGKILL);
}

#include "ring.h"
#include "time_page.h"

static void write_page(word_t *page, long k)
{
    uint64_t current[TIME_PAGE_WORD_COUNT], proposal[TIME_PAGE_WORD_COUNT];
    page_recover(page, current);
    for (int i = 0; i < TIME_PAGE_WORD_COUNT; i++)
        proposal[i] = current[i];
    for (int i = PAGE_sigma_offset_ns; i <= PAGE_q95_ns; i++)
        proposal[i] = 2;
    stores_left = k;
    page_publish(page, current, proposal,
                 current[PAGE_seq] == 0 ? ANCHOR_STEP : ANCHOR_CONTINUE);
}

static void write_record(word_t *words, long k)
{
    static char payload[1000000];
    ring_t ring = {.words = words, .data = words + RING_DATA_OFFSET / 8};
    ring_head_t head;
    ring_load_head(&ring, &head);
    memset(payload, (int)(head.seq + 1), sizeof payload);
    ring_record_t record = {.seq = head.seq + 1, .payload_size = sizeof payload};
    uint64_t size = ring_record_size(record.payload_size);
    stores_left = k;
    ring_make_room(&ring, head.position, size);
    ring_store_record(&ring, head.position, record, payload);
    head.position += size;
    head.seq++;
    ring_publish_head(&ring, head);
}

int main(int argc, char **argv)
{
    int descriptor = open(argv[1], O_RDWR);
    char *segment =
        mmap(NULL, SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (argc != 4 || segment == MAP_FAILED)
        return 2;
    if (strcmp(argv[2], "page") == 0)
        write_page((word_t *)(segment + TIME_OFFSET), atol(argv[3]));
    else
        write_record((word_t *)(segment + RING_OFFSET), atol(argv[3]));
    return 0;
}
