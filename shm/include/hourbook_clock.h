/* Hourbook's clock for C11 and C++17, in this one header: UTC with a hard interval and a status.
 *
 *     hourbook_clock clock;
 *     if (hourbook_clock_open(&clock, "/dev/shm/hourbook-1000-0123456789ab/segment"))
 *         return 1;
 *     hourbook_reading now = hourbook_clock_now(&clock);
 *     // now.earliest_ns <= UTC <= now.latest_ns, and now.status says how far to trust that
 *
 * A reading is a few loads from shared memory and two vDSO calls; nothing is asked of anybody,
 * nothing is allocated, and no reader can disturb another or the writer. There is no library to
 * link. Where the segment is: `supervisor status --json` prints `run_dir`, and the segment is in it.
 * To compile: `cc -I"$(python -c 'import hourbook; print(hourbook.clock_header().parent)')"`.
 *
 * An unbounded interval is HOURBOOK_UNBOUNDED_EARLIEST..HOURBOOK_UNBOUNDED_LATEST. Instants are UTC
 * in nanoseconds since 1970. One hourbook_clock belongs to one thread at a time; open one for each.
 *
 * The extension `shm._core` is built from the same lines, so that the two cannot disagree. Meaning
 * of every word, and the protocol: docs/SEGMENT.md. Linux, gcc or clang; under -std=c11 this header
 * must come first, or _DEFAULT_SOURCE be defined.
 */
#ifndef HOURBOOK_CLOCK_H
#define HOURBOOK_CLOCK_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1
#endif

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef CLOCK_MONOTONIC_RAW
#error "include hourbook_clock.h first, or compile with -D_DEFAULT_SOURCE, on Linux"
#endif

#ifndef __SIZEOF_INT128__
#error "hourbook_clock.h needs a compiler with __int128: gcc or clang for a 64-bit machine"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* -- layout ------------------------------------------------------------------------------------ */

#define HOURBOOK_LAYOUT_VERSION 1
#define HOURBOOK_SEGMENT_SIZE 4239360
#define HOURBOOK_SEGMENT_LIVE 1
#define HOURBOOK_TIME_OFFSET 4096
#define HOURBOOK_SHADOW_WORDS 32 /* the shadow of the time page follows it */

/* Words of the segment's header, and byte offsets of the words of its time page. */
enum hourbook_header_word {
    HOURBOOK_HEADER_magic,
    HOURBOOK_HEADER_version,
    HOURBOOK_HEADER_version_min,
    HOURBOOK_HEADER_size,
    HOURBOOK_HEADER_boot_id,
    HOURBOOK_HEADER_state = 7
};
#define HOURBOOK_TIME_PAGE_WORDS(X)                                                              \
    X(0, seq) X(8, as_of_raw_ns) X(16, utc_at_as_of_ns) X(24, rate) X(32, slew_ppb)              \
    X(40, slew_end_raw_ns) X(48, state) X(56, void_after_raw_ns) X(64, earliest_off_ns)          \
    X(72, latest_off_ns) X(80, growth_ppb) X(88, sigma_offset_ns) X(96, sigma_rate_ppb)          \
    X(104, q68_ns) X(112, q95_ns) X(120, published_raw_ns) X(128, last_sample_raw_ns)            \
    X(136, poll_ns) X(144, boottime_minus_monotonic_ns) X(152, vmclock_marker)                   \
    X(160, last_step_raw_ns) X(168, steps) X(176, disruptions) X(184, source) X(192, sources)    \
    X(200, confidence_ppm) X(208, samples) X(216, publications) X(224, leap_utc_s)               \
    X(232, leap_tai_s) X(240, leap_smear) X(248, bound_violations)

#define HOURBOOK_PAGE_ENUM(offset, name) HOURBOOK_PAGE_##name = (offset) / 8,
enum hourbook_page_word { HOURBOOK_TIME_PAGE_WORDS(HOURBOOK_PAGE_ENUM) HOURBOOK_PAGE_WORD_COUNT };

static_assert(HOURBOOK_PAGE_WORD_COUNT == HOURBOOK_SHADOW_WORDS, "the time page has 32 words");
static_assert(HOURBOOK_PAGE_void_after_raw_ns == 7, "time_ns needs the first cache line only");

/* ClockBound's words and numbers. */
typedef enum hourbook_status {
    HOURBOOK_UNKNOWN = 0,      /* nothing is promised */
    HOURBOOK_SYNCHRONIZED = 1, /* fresh samples of a majority of sources */
    HOURBOOK_FREE_RUNNING = 2, /* the interval holds and grows, and nothing corrects it now */
    HOURBOOK_DISRUPTED = 3     /* the machine slept or was moved: earlier readings are void */
} hourbook_status;

#define HOURBOOK_UNBOUNDED_EARLIEST INT64_MIN
#define HOURBOOK_UNBOUNDED_LATEST INT64_MAX
#define HOURBOOK_FRESH_NS INT64_C(5000000000) /* not published for longer: free-running */
#define HOURBOOK_FRESH_POLLS 4                /* no accepted sample for more polls: the same */

/* -- clocks ------------------------------------------------------------------------------------ */

#define HOURBOOK_BILLION 1000000000

static inline int64_t hourbook_clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * HOURBOOK_BILLION + now.tv_nsec;
}

static inline int64_t hourbook_raw_ns(void) { return hourbook_clock_ns(CLOCK_MONOTONIC_RAW); }

/* -- the line of a page: pure functions of its words --------------------------------------------
 *
 *     base(raw)   = utc_at_as_of + dt + ((dt * rate) >> 48)            dt = raw - as_of
 *     output(raw) = base(raw) + floor(min(dt, slew_end - as_of) * slew_ppb / 10^9)   where dt > 0
 *     growth(raw) = ceil(|dt| * growth_ppb / 10^9) + 1                 where dt != 0
 *     hard interval(raw) = [base + earliest_off - growth, base + latest_off + growth]
 *
 * The hard interval rides on the line without the slew: slewing moves what we say, not what we
 * know. Products take 128 bits (64 would overflow after 66 ms) and results saturate, so that no
 * argument whatever is undefined. The extra nanosecond of growth pays for the line's two roundings.
 *
 * A page that was published before a leap second knows that one is to come: from the instant at
 * which UTC may have got there, the interval covers both the time that stepped and that which did
 * not. Whoever publishes may be dead by then.
 */
__extension__ typedef __int128 hourbook_wide;

static_assert(((hourbook_wide)-1 >> 1) == -1, "the shift of a negative number must be arithmetic");

static inline int64_t hourbook_saturate(hourbook_wide value)
{
    if (value > INT64_MAX)
        return INT64_MAX;
    return value < INT64_MIN ? INT64_MIN : (int64_t)value;
}

/* floor(value / 10^9), in 64 bits where it fits: 128-bit division costs more than a whole read. */
static inline hourbook_wide hourbook_floor_billionth(hourbook_wide value)
{
    if (value == (hourbook_wide)(int64_t)value) {
        int64_t narrow = (int64_t)value;
        return narrow / HOURBOOK_BILLION - (narrow % HOURBOOK_BILLION < 0);
    }
    return value / HOURBOOK_BILLION - (value % HOURBOOK_BILLION < 0);
}

static inline hourbook_wide hourbook_line_age(const uint64_t *page, int64_t raw_ns)
{
    return (hourbook_wide)raw_ns - (int64_t)page[HOURBOOK_PAGE_as_of_raw_ns];
}

static inline hourbook_wide hourbook_line_base(const uint64_t *page, int64_t raw_ns)
{
    hourbook_wide dt = hourbook_line_age(page, raw_ns);
    return (int64_t)page[HOURBOOK_PAGE_utc_at_as_of_ns] + dt +
           ((dt * (int64_t)page[HOURBOOK_PAGE_rate]) >> 48);
}

/* Before as_of nothing was slewed; from slew_end on the slew stands still, so that a publisher that
 * died in the middle of one does not slew for ever. */
static inline hourbook_wide hourbook_line_slewed(const uint64_t *page, int64_t raw_ns)
{
    int64_t slew_ppb = (int64_t)page[HOURBOOK_PAGE_slew_ppb];
    if (slew_ppb == 0)
        return 0;
    int64_t slew_end_ns = (int64_t)page[HOURBOOK_PAGE_slew_end_raw_ns];
    hourbook_wide span = hourbook_line_age(page, raw_ns < slew_end_ns ? raw_ns : slew_end_ns);
    return span > 0 ? hourbook_floor_billionth(span * slew_ppb) : 0;
}

static inline int64_t hourbook_line_output(const uint64_t *page, int64_t raw_ns)
{
    return hourbook_saturate(hourbook_line_base(page, raw_ns) + hourbook_line_slewed(page, raw_ns));
}

static inline hourbook_wide hourbook_line_grown(const uint64_t *page, int64_t raw_ns, int64_t ppb)
{
    hourbook_wide dt = hourbook_line_age(page, raw_ns);
    return dt == 0 ? 0 : -hourbook_floor_billionth(-(dt < 0 ? -dt : dt) * ppb);
}

static inline bool hourbook_line_is_bounded(const uint64_t *page)
{
    return (int64_t)page[HOURBOOK_PAGE_earliest_off_ns] != HOURBOOK_UNBOUNDED_EARLIEST &&
           (int64_t)page[HOURBOOK_PAGE_latest_off_ns] != HOURBOOK_UNBOUNDED_LATEST;
}

/* Widens an interval that reaches the leap second which the page announces, unless it is smeared. */
static inline void hourbook_line_leap(const uint64_t *page, hourbook_wide *earliest,
                                      hourbook_wide *latest)
{
    int64_t leap_s = (int64_t)page[HOURBOOK_PAGE_leap_utc_s];
    if (__builtin_expect(leap_s == 0, 1) || (uint32_t)page[HOURBOOK_PAGE_leap_smear] != 0)
        return;
    uint64_t tai_s = page[HOURBOOK_PAGE_leap_tai_s];
    hourbook_wide step_s = (hourbook_wide)(int32_t)(uint32_t)tai_s - (int32_t)(uint32_t)(tai_s >> 32);
    if (*latest < (leap_s - (step_s > 0 ? step_s : 0)) * HOURBOOK_BILLION)
        return;
    *(step_s < 0 ? earliest : latest) += step_s * HOURBOOK_BILLION;
}

/* The hard interval at raw_ns, widened where needed to include the output. */
static inline void hourbook_line_interval(const uint64_t *page, int64_t raw_ns,
                                          int64_t *earliest_ns, int64_t *latest_ns)
{
    *earliest_ns = HOURBOOK_UNBOUNDED_EARLIEST;
    *latest_ns = HOURBOOK_UNBOUNDED_LATEST;
    if (!hourbook_line_is_bounded(page))
        return;
    hourbook_wide base = hourbook_line_base(page, raw_ns);
    hourbook_wide output = base + hourbook_line_slewed(page, raw_ns);
    hourbook_wide growth =
        hourbook_line_grown(page, raw_ns, (int64_t)page[HOURBOOK_PAGE_growth_ppb]);
    growth += hourbook_line_age(page, raw_ns) != 0;
    hourbook_wide earliest = base + (int64_t)page[HOURBOOK_PAGE_earliest_off_ns] - growth;
    hourbook_wide latest = base + (int64_t)page[HOURBOOK_PAGE_latest_off_ns] + growth;
    hourbook_line_leap(page, &earliest, &latest);
    *earliest_ns = hourbook_saturate(earliest < output ? earliest : output);
    *latest_ns = hourbook_saturate(latest > output ? latest : output);
}

/* -- reading the page under its sequence lock -------------------------------------------------- */

/* How long a reader waits for a writer that is inside an update, which takes well under 1 us: only
 * one that was put aside by the scheduler, or is dead, takes longer. */
#define HOURBOOK_PATIENCE_NS 100000

/* How often a reader whose patience is over tries the shadow and the page in turn. One of the two is
 * complete at any time, and a dead writer leaves it so for good: the first turn does. A writer at
 * full speed may slip away from each try; of so many one succeeds. */
#define HOURBOOK_TURNS_MAX 1000

typedef enum hourbook_page_kind {
    HOURBOOK_PAGE_NONE,  /* nothing was ever published, or the first publication was cut short */
    HOURBOOK_PAGE_LIVE,
    HOURBOOK_PAGE_STALE  /* the writer is stuck inside an update: this is the last complete page */
} hourbook_page_kind;

static inline uint64_t hourbook_load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* Tell the processor that this is a wait, so that it saves power and the other hyperthread runs. */
static inline void hourbook_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* One attempt. The caller asks for the first `count` words; with a constant the loop unrolls. */
static inline bool hourbook_page_try(const uint64_t *page, uint64_t *words, int count,
                                     int64_t *raw_ns)
{
    /* Acquire: no word below is loaded before seq is, so words of an older page are excluded. */
    uint64_t seq = __atomic_load_n(&page[HOURBOOK_PAGE_seq], __ATOMIC_ACQUIRE);
    if ((seq & 1) != 0 || seq == 0)
        return false;
    /* Inside the section: so that a reading from this page is older than the next page's as_of. */
    *raw_ns = hourbook_raw_ns();
    for (int i = 1; i < count; i++)
        words[i] = hourbook_load(&page[i]);
    /* Pairs with the writer's fence after odd: had any word above come from a newer update, this
     * fence would make that update's odd seq visible to the load below. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (hourbook_load(&page[HOURBOOK_PAGE_seq]) != seq)
        return false;
    words[HOURBOOK_PAGE_seq] = seq;
    return true;
}

/* Retries for HOURBOOK_PATIENCE_NS, then the shadow. `stuck_seq` remembers the odd number that
 * outlasted us, so that later reads do not wait for the same dead writer again. */
static __attribute__((noinline, unused)) hourbook_page_kind
hourbook_page_read_patiently(const uint64_t *page, uint64_t *words, int count, int64_t *raw_ns,
                             uint64_t *stuck_seq)
{
    const uint64_t *shadow = page + HOURBOOK_SHADOW_WORDS;
    int64_t patience_end_ns = hourbook_raw_ns() + HOURBOOK_PATIENCE_NS;
    uint64_t seq;
    do {
        seq = hourbook_load(&page[HOURBOOK_PAGE_seq]);
        if (seq == 0)
            return HOURBOOK_PAGE_NONE;
        if (seq == *stuck_seq)
            break;
        if (hourbook_page_try(page, words, count, raw_ns))
            return HOURBOOK_PAGE_LIVE;
        hourbook_relax();
    } while (hourbook_raw_ns() < patience_end_ns);
    if ((seq & 1) != 0)
        *stuck_seq = seq;
    for (int turn = 0; turn < HOURBOOK_TURNS_MAX; turn++) {
        if (hourbook_page_try(shadow, words, count, raw_ns))
            return HOURBOOK_PAGE_STALE;
        if (hourbook_page_try(page, words, count, raw_ns))
            return HOURBOOK_PAGE_LIVE;
    }
    return HOURBOOK_PAGE_NONE;
}

static inline hourbook_page_kind hourbook_page_read(const uint64_t *page, uint64_t *words,
                                                    int count, int64_t *raw_ns,
                                                    uint64_t *stuck_seq)
{
    if (__builtin_expect(hourbook_page_try(page, words, count, raw_ns), 1))
        return HOURBOOK_PAGE_LIVE;
    return hourbook_page_read_patiently(page, words, count, raw_ns, stuck_seq);
}

/* -- one look, and what follows from it --------------------------------------------------------- */

/* A shorter suspend is not told from the lag of the coarse clock; real ones take far longer. */
#define HOURBOOK_SUSPEND_NS_MIN 20000000

typedef struct hourbook_look {
    hourbook_page_kind kind;
    bool suspended;     /* the machine slept since the page was written, and RAW slept with it */
    int64_t now_raw_ns; /* when the look was taken */
    int64_t raw_ns;     /* which instant it is about */
    uint64_t page[HOURBOOK_PAGE_WORD_COUNT];
} hourbook_look;

/* BOOTTIME counts suspend and MONOTONIC does not: has their difference moved since the page?
 *
 * The coarse clock lags by up to a tick (10 ms at most) but costs 5 ns, and now() pays for each.
 * The two cannot be read at once, and we may be put aside between them for any time: so a difference
 * that looks moved is believed only when BOOTTIME bracketed by two precise readings says so too. */
static inline bool hourbook_has_suspended_since(int64_t page_difference_ns)
{
    int64_t coarse_ns = hourbook_clock_ns(CLOCK_MONOTONIC_COARSE);
    hourbook_wide moved_ns =
        (hourbook_wide)hourbook_clock_ns(CLOCK_BOOTTIME) - coarse_ns - page_difference_ns;
    if (moved_ns >= -HOURBOOK_SUSPEND_NS_MIN && moved_ns <= HOURBOOK_SUSPEND_NS_MIN)
        return false;
    int64_t before_ns = hourbook_clock_ns(CLOCK_MONOTONIC);
    int64_t boot_ns = hourbook_clock_ns(CLOCK_BOOTTIME);
    int64_t after_ns = hourbook_clock_ns(CLOCK_MONOTONIC);
    return (hourbook_wide)boot_ns - after_ns - page_difference_ns > HOURBOOK_SUSPEND_NS_MIN ||
           (hourbook_wide)boot_ns - before_ns - page_difference_ns < -HOURBOOK_SUSPEND_NS_MIN;
}

static inline void hourbook_look_at(const uint64_t *page, hourbook_look *look, uint64_t *stuck_seq)
{
    look->kind = hourbook_page_read(page, look->page, HOURBOOK_PAGE_WORD_COUNT, &look->now_raw_ns,
                                    stuck_seq);
    look->suspended = false;
    if (__builtin_expect(look->kind == HOURBOOK_PAGE_NONE, 0)) {
        look->now_raw_ns = hourbook_raw_ns();
        memset(look->page, 0, sizeof look->page);
    } else {
        look->suspended = hourbook_has_suspended_since(
            (int64_t)look->page[HOURBOOK_PAGE_boottime_minus_monotonic_ns]);
    }
    look->raw_ns = look->now_raw_ns;
}

/* A dead publisher cannot downgrade itself, so the status is worked out here, from ages. */
static inline hourbook_status hourbook_look_status(const hourbook_look *look)
{
    const uint64_t *page = look->page;
    if (look->kind == HOURBOOK_PAGE_NONE)
        return HOURBOOK_UNKNOWN;
    uint64_t stored = page[HOURBOOK_PAGE_state] & 0xff;
    int64_t void_after_ns = (int64_t)page[HOURBOOK_PAGE_void_after_raw_ns];
    if (stored == HOURBOOK_UNKNOWN || stored > HOURBOOK_DISRUPTED ||
        look->now_raw_ns >= void_after_ns || look->raw_ns >= void_after_ns ||
        look->raw_ns < (int64_t)page[HOURBOOK_PAGE_last_step_raw_ns])
        return HOURBOOK_UNKNOWN;
    if (look->suspended)
        return HOURBOOK_DISRUPTED;
    if (stored != HOURBOOK_SYNCHRONIZED)
        return (hourbook_status)stored;
    hourbook_wide now_ns = look->now_raw_ns;
    hourbook_wide age_ns = now_ns - (int64_t)page[HOURBOOK_PAGE_published_raw_ns];
    hourbook_wide sample_age_ns = now_ns - (int64_t)page[HOURBOOK_PAGE_last_sample_raw_ns];
    hourbook_wide polls_ns =
        (hourbook_wide)HOURBOOK_FRESH_POLLS * (int64_t)page[HOURBOOK_PAGE_poll_ns];
    bool is_fresh = look->kind == HOURBOOK_PAGE_LIVE && age_ns <= HOURBOOK_FRESH_NS &&
                    sample_age_ns <= polls_ns;
    return is_fresh ? HOURBOOK_SYNCHRONIZED : HOURBOOK_FREE_RUNNING;
}

/* Without a page there is still the kernel's own clock, about which we promise nothing. */
static inline int64_t hourbook_look_time_ns(const hourbook_look *look)
{
    if (look->kind != HOURBOOK_PAGE_NONE)
        return hourbook_line_output(look->page, look->raw_ns);
    hourbook_wide ahead_ns = (hourbook_wide)look->raw_ns - look->now_raw_ns;
    return hourbook_saturate(hourbook_clock_ns(CLOCK_REALTIME) + ahead_ns);
}

static inline void hourbook_look_interval(const hourbook_look *look, int64_t *earliest_ns,
                                          int64_t *latest_ns)
{
    *earliest_ns = HOURBOOK_UNBOUNDED_EARLIEST;
    *latest_ns = HOURBOOK_UNBOUNDED_LATEST;
    if (look->kind != HOURBOOK_PAGE_NONE && !look->suspended &&
        look->raw_ns >= (int64_t)look->page[HOURBOOK_PAGE_last_step_raw_ns])
        hourbook_line_interval(look->page, look->raw_ns, earliest_ns, latest_ns);
}

/* Offset and rate add up here, as if both erred the same way: simple, and never too small. */
static inline int64_t hourbook_look_sigma_ns(const hourbook_look *look)
{
    const uint64_t *page = look->page;
    if (look->kind == HOURBOOK_PAGE_NONE)
        return INT64_MAX;
    int64_t rate_ppb = (int64_t)page[HOURBOOK_PAGE_sigma_rate_ppb];
    return hourbook_saturate((int64_t)page[HOURBOOK_PAGE_sigma_offset_ns] +
                             hourbook_line_grown(page, look->raw_ns, rate_ppb));
}

/* -- for users ---------------------------------------------------------------------------------- */

typedef enum hourbook_error {
    HOURBOOK_OK = 0,
    HOURBOOK_NO_SEGMENT,    /* there is none, or we may not read it; errno says which */
    HOURBOOK_OTHER_VERSION, /* no segment, or of a version that this header does not know */
    HOURBOOK_OTHER_BOOT,    /* left over from before the machine was started */
    HOURBOOK_STOPPED        /* the tree was stopped in order, and nobody writes */
} hourbook_error;

/* What the clock knows of one instant; the same five fields as `Reading` in Python. */
typedef struct hourbook_reading {
    int64_t time_ns;     /* the best estimate; monotonic as long as the clock is not stepped */
    int64_t earliest_ns; /* UTC is not earlier */
    int64_t latest_ns;   /* UTC is not later */
    int64_t sigma_ns;    /* one sigma of the estimate, INT64_MAX where there is none */
    hourbook_status status;
} hourbook_reading;

typedef struct hourbook_clock {
    const uint64_t *segment;
    ino_t inode;
    uint64_t stuck_seq;
    int64_t next_refresh_raw_ns;
    char path[4096];
} hourbook_clock;

static inline bool hourbook_is_of_this_boot(const uint64_t *segment)
{
    unsigned char text[36], ours[16] = {0};
    int descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t size = descriptor < 0 ? -1 : read(descriptor, text, sizeof text);
    if (descriptor >= 0)
        close(descriptor);
    if (size != (ssize_t)sizeof text)
        return false;
    for (unsigned digits = 0, i = 0; i < sizeof text && digits < 32; i++) {
        if (text[i] == '-')
            continue;
        unsigned value = text[i] <= '9' ? text[i] - 48U : (text[i] | 32U) - 87U; /* ASCII */
        ours[digits / 2] = (unsigned char)(ours[digits / 2] << 4 | (value & 15));
        digits++;
    }
    return memcmp(ours, &segment[HOURBOOK_HEADER_boot_id], sizeof ours) == 0;
}

static inline hourbook_error hourbook_check_header(const uint64_t *segment)
{
    uint64_t version_min = segment[HOURBOOK_HEADER_version_min];
    uint64_t version = segment[HOURBOOK_HEADER_version];
    if (memcmp(segment, "HOURBOOK", 8) != 0 || version_min > HOURBOOK_LAYOUT_VERSION ||
        version < HOURBOOK_LAYOUT_VERSION ||
        segment[HOURBOOK_HEADER_size] != HOURBOOK_SEGMENT_SIZE)
        return HOURBOOK_OTHER_VERSION;
    if (!hourbook_is_of_this_boot(segment))
        return HOURBOOK_OTHER_BOOT;
    return hourbook_load(&segment[HOURBOOK_HEADER_state]) == HOURBOOK_SEGMENT_LIVE
               ? HOURBOOK_OK
               : HOURBOOK_STOPPED;
}

static inline void hourbook_clock_close(hourbook_clock *clock)
{
    if (clock->segment != NULL)
        munmap((void *)(uintptr_t)clock->segment, HOURBOOK_SEGMENT_SIZE);
    clock->segment = NULL;
}

/* Map the segment at `path` (below 4096 bytes; kept, since a later segment may take its place). */
static inline hourbook_error hourbook_clock_open(hourbook_clock *clock, const char *path)
{
    struct stat file;
    size_t length = strnlen(path, sizeof clock->path);
    hourbook_error error = HOURBOOK_NO_SEGMENT;
    memset(clock, 0, sizeof *clock);
    if (length == sizeof clock->path)
        return error;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0)
        return error;
    memcpy(clock->path, path, length);
    if (fstat(descriptor, &file) == 0 && file.st_size != HOURBOOK_SEGMENT_SIZE)
        error = HOURBOOK_OTHER_VERSION;
    else {
        void *map = mmap(NULL, HOURBOOK_SEGMENT_SIZE, PROT_READ, MAP_SHARED, descriptor, 0);
        if (map != MAP_FAILED) {
            clock->segment = (const uint64_t *)map;
            clock->inode = file.st_ino;
            error = hourbook_check_header(clock->segment);
        }
    }
    close(descriptor);
    if (error != HOURBOOK_OK)
        hourbook_clock_close(clock);
    return error;
}

/* Has another segment taken this one's place? Asked at most once a second, and only by a reader
 * whose page is old, empty or closed. An old page with an honest age is better than none. */
static inline bool hourbook_clock_is_replaced(hourbook_clock *clock, int64_t now_raw_ns)
{
    struct stat file;
    hourbook_clock successor;
    if (now_raw_ns < clock->next_refresh_raw_ns)
        return false;
    clock->next_refresh_raw_ns = now_raw_ns + HOURBOOK_BILLION;
    if (stat(clock->path, &file) != 0 || file.st_ino == clock->inode ||
        hourbook_clock_open(&successor, clock->path) != HOURBOOK_OK)
        return false;
    hourbook_clock_close(clock);
    successor.next_refresh_raw_ns = clock->next_refresh_raw_ns;
    *clock = successor;
    return true;
}

static inline void hourbook_clock_look(hourbook_clock *clock, hourbook_look *look)
{
    do
        hourbook_look_at(clock->segment + HOURBOOK_TIME_OFFSET / 8, look, &clock->stuck_seq);
    while ((look->kind == HOURBOOK_PAGE_NONE ||
            hourbook_line_age(look->page, look->now_raw_ns) > HOURBOOK_FRESH_NS ||
            hourbook_load(&clock->segment[HOURBOOK_HEADER_state]) != HOURBOOK_SEGMENT_LIVE) &&
           hourbook_clock_is_replaced(clock, look->now_raw_ns));
}

static inline hourbook_reading hourbook_reading_of(const hourbook_look *look)
{
    hourbook_reading reading;
    reading.time_ns = hourbook_look_time_ns(look);
    hourbook_look_interval(look, &reading.earliest_ns, &reading.latest_ns);
    reading.sigma_ns = hourbook_look_sigma_ns(look);
    reading.status = hourbook_look_status(look);
    return reading;
}

/* UTC now, the interval that it lies in, and how far to trust it. */
static inline hourbook_reading hourbook_clock_now(hourbook_clock *clock)
{
    hourbook_look look;
    hourbook_clock_look(clock, &look);
    return hourbook_reading_of(&look);
}

/* UTC when CLOCK_MONOTONIC_RAW read, or will read, `raw_ns`. */
static inline hourbook_reading hourbook_clock_at(hourbook_clock *clock, int64_t raw_ns)
{
    hourbook_look look;
    hourbook_clock_look(clock, &look);
    look.raw_ns = raw_ns;
    return hourbook_reading_of(&look);
}

/* Is the first instant certainly earlier than the second? False where their intervals touch, and
 * always where one has no bound. */
static inline bool hourbook_is_before(hourbook_reading first, hourbook_reading second)
{
    return first.latest_ns != HOURBOOK_UNBOUNDED_LATEST &&
           second.earliest_ns != HOURBOOK_UNBOUNDED_EARLIEST &&
           first.latest_ns < second.earliest_ns;
}

#ifdef __cplusplus
}
#endif

#endif
