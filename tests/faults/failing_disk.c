/* A disk whose fsync of the book fails on command: LD_PRELOAD=libfailing_disk.so.
 *
 * While the file $FAILING_DISK exists, every fsync and fdatasync of a file named book.db* fails with
 * EIO, and appends one byte to it: so that a test can count how often it was asked for. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int descriptor)
{
    char link[64], name[4096];
    const char *command = getenv("FAILING_DISK");
    if (command == NULL)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, name, sizeof name - 1);
    if (size < 0)
        return 0;
    name[size] = '\0';
    if (strstr(name, "/book.db") == NULL)
        return 0;
    int file = open(command, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t written = write(file, "x", 1);
    close(file);
    errno = EIO;
    return written == 1;
}

int fdatasync(int descriptor)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return fails(descriptor) ? -1 : next(descriptor);
}

int fsync(int descriptor)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return fails(descriptor) ? -1 : next(descriptor);
}
