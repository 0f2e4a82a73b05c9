/* A disk on which the k-th change is the last: LD_PRELOAD=libfateful_disk.so.
 *
 * Every call that changes a file or a name is counted once arm() was called. With KILL the process
 * is killed instead of making the k-th; with FULL that one, and each later write, finds no room. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { OFF = 0, KILL = 1, FULL = 2 };

static long calls_left;
static int mode;

void arm(long calls, int what)
{
    calls_left = calls;
    mode = what;
}

long left(void)
{
    return calls_left;
}

/* Returns whether the call must fail for want of room. */
static int is_refused(int needs_room)
{
    if (mode == OFF || (calls_left > 1 && calls_left--))
        return 0;
    if (mode == KILL)
        kill(getpid(), SIGKILL);
    calls_left = 0;
    errno = ENOSPC;
    return needs_room;
}

#define NEXT(name) __typeof__(name) *next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int descriptor, const void *data, size_t size)
{
    NEXT(write);
    return is_refused(1) ? -1 : next(descriptor, data, size);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset)
{
    NEXT(pwrite64);
    return is_refused(1) ? -1 : next(descriptor, data, size, offset);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
    NEXT(pwrite);
    return is_refused(1) ? -1 : next(descriptor, data, size, offset);
}

int fsync(int descriptor)
{
    NEXT(fsync);
    return is_refused(0) ? -1 : next(descriptor);
}

int fdatasync(int descriptor)
{
    NEXT(fdatasync);
    return is_refused(0) ? -1 : next(descriptor);
}

int ftruncate64(int descriptor, off64_t size)
{
    NEXT(ftruncate64);
    return is_refused(0) ? -1 : next(descriptor, size);
}

int rename(const char *from, const char *to)
{
    NEXT(rename);
    return is_refused(0) ? -1 : next(from, to);
}

int unlink(const char *path)
{
    NEXT(unlink);
    return is_refused(0) ? -1 : next(path);
}

int link(const char *from, const char *to)
{
    NEXT(link);
    return is_refused(1) ? -1 : next(from, to);
}

int mkdir(const char *path, mode_t mode_of_it)
{
    NEXT(mkdir);
    return is_refused(1) ? -1 : next(path, mode_of_it);
}

int unlinkat(int directory, const char *path, int flags)
{
    NEXT(unlinkat);
    return is_refused(0) ? -1 : next(directory, path, flags);
}
