/* A VFS of SQLite that hands each transaction's part of a write-ahead log to the system at once.
 *
 * SQLite writes every page of a log by two calls, 24 bytes and the page. Here what follows on what
 * was written before is gathered, and leaves when it must: before a sync, a read, or anything else
 * that is done to the file. And a log that grows is grown ahead, by zeros, which are no frame: a sync
 * of what lies in blocks that the file has takes half the time. All other files are those of the VFS
 * below, untouched.
 *
 * Nothing may see a frame before its transaction was synced: so this is for connections with
 * `synchronous=FULL`, which sync each transaction before the index of the log tells of it, and with
 * `psow=1`, without which SQLite would write on after that sync.
 *
 * The structs are those of sqlite3.h, whose fields of a version never change ("OS Interface Virtual
 * Table For File Access", "OS Interface Object" in SQLite's documentation). They are written out
 * here: who builds this has no sqlite3.h, and the library is the one that Python has loaded.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NO_MEMORY = 7, OPEN_WAL = 0x00080000 };
enum { GATHERED_MAX = 96 << 10 }; /* SQLite's own files take less than 128 KiB at once */
enum { AHEAD = 512 << 10, ZEROS = 64 << 10 };

typedef struct file file;
typedef struct vfs vfs;

struct methods { /* sqlite3_io_methods, version 1 */
    int version;
    int (*close)(file *);
    int (*read)(file *, void *, int, int64_t);
    int (*write)(file *, const void *, int, int64_t);
    int (*truncate)(file *, int64_t);
    int (*sync)(file *, int);
    int (*size)(file *, int64_t *);
    int (*lock)(file *, int);
    int (*unlock)(file *, int);
    int (*check_lock)(file *, int *);
    int (*control)(file *, int, void *);
    int (*sector_size)(file *);
    int (*characteristics)(file *);
};

struct file { /* sqlite3_file */
    const struct methods *methods;
};

struct vfs { /* sqlite3_vfs, version 2 */
    int version;
    int file_size;
    int path_max;
    vfs *next;
    const char *name;
    void *data;
    int (*open)(vfs *, const char *, file *, int, int *);
    int (*delete)(vfs *, const char *, int);
    int (*access)(vfs *, const char *, int, int *);
    int (*full_path)(vfs *, const char *, int, char *);
    void *load_library[4];
    int (*randomness)(vfs *, int, char *);
    int (*sleep)(vfs *, int);
    int (*time)(vfs *, double *);
    int (*last_error)(vfs *, int, char *);
    int (*time_ms)(vfs *, int64_t *);
};

/* A log; the file of the VFS below lies right behind it. */
struct log {
    file base;
    file *below;
    char *gathered;
    int64_t offset; /* of what is gathered, in the file */
    int size;
    int64_t grown; /* the file has at least so many bytes */
};

static vfs *below;

/* -- a log ------------------------------------------------------------------------------------- */

/* Have zeros follow what was written up to `end`, where that has made the file longer; as many as
 * there is room for. */
static void grow(struct log *log, int64_t end)
{
    static const char zeros[ZEROS];
    const struct methods *methods = log->below->methods;
    int64_t size = end;
    if (end <= log->grown || methods->size(log->below, &size) != OK)
        return;
    log->grown = size;
    if (size > end)
        return;
    for (int written = 0; written < AHEAD; written += ZEROS, log->grown += ZEROS) {
        if (methods->write(log->below, zeros, ZEROS, log->grown) != OK)
            return;
    }
}

static int hand_over(struct log *log)
{
    int size = log->size;
    log->size = 0; /* what cannot be written is not tried again: its transaction is undone */
    if (size == 0)
        return OK;
    int result = log->below->methods->write(log->below, log->gathered, size, log->offset);
    if (result == OK)
        grow(log, log->offset + size);
    return result;
}

static int log_write(file *base, const void *bytes, int size, int64_t offset)
{
    struct log *log = (struct log *)base;
    if (offset != log->offset + log->size || log->size + size > GATHERED_MAX) {
        int result = hand_over(log);
        if (result != OK)
            return result;
        log->offset = offset;
    }
    if (size > GATHERED_MAX)
        return log->below->methods->write(log->below, bytes, size, offset);
    memcpy(log->gathered + log->size, bytes, (size_t)size);
    log->size += size;
    return OK;
}

static int log_close(file *base)
{
    struct log *log = (struct log *)base;
    int handed_over = hand_over(log);
    int closed = log->below->methods->close(log->below);
    free(log->gathered);
    return handed_over != OK ? handed_over : closed;
}

/* Everything else is done to the file below, once it has all that was written. */
#define AFTER_HAND_OVER(name, parameters, ...)                              \
    static int log_##name parameters                                        \
    {                                                                       \
        file *below_it = ((struct log *)base)->below;                       \
        int result = hand_over((struct log *)base);                         \
        return result != OK ? result : below_it->methods->name(__VA_ARGS__); \
    }

AFTER_HAND_OVER(read, (file *base, void *to, int size, int64_t at), below_it, to, size, at)
AFTER_HAND_OVER(sync, (file *base, int flags), below_it, flags)
AFTER_HAND_OVER(size, (file *base, int64_t *size), below_it, size)
AFTER_HAND_OVER(lock, (file *base, int level), below_it, level)
AFTER_HAND_OVER(unlock, (file *base, int level), below_it, level)
AFTER_HAND_OVER(check_lock, (file *base, int *is_locked), below_it, is_locked)
AFTER_HAND_OVER(control, (file *base, int what, void *value), below_it, what, value)

static int log_truncate(file *base, int64_t size)
{
    struct log *log = (struct log *)base;
    int result = hand_over(log);
    log->grown = 0;
    return result != OK ? result : log->below->methods->truncate(log->below, size);
}

static int log_sector_size(file *base)
{
    file *below_it = ((struct log *)base)->below;
    return below_it->methods->sector_size(below_it);
}

static int log_characteristics(file *base)
{
    file *below_it = ((struct log *)base)->below;
    return below_it->methods->characteristics(below_it);
}

static const struct methods LOG_METHODS = {
    1,          log_close,  log_read,       log_write,   log_truncate,    log_sync, log_size,
    log_lock,   log_unlock, log_check_lock, log_control, log_sector_size, log_characteristics,
};

/* -- the VFS ----------------------------------------------------------------------------------- */

static int vfs_open(vfs *self, const char *path, file *base, int flags, int *flags_out)
{
    if (!(flags & OPEN_WAL))
        return below->open(below, path, base, flags, flags_out);

    struct log *log = (struct log *)base;
    *log = (struct log){.below = (file *)(log + 1), .gathered = malloc(GATHERED_MAX)};
    if (log->gathered == NULL)
        return NO_MEMORY;
    int result = below->open(below, path, log->below, flags, flags_out);
    if (result == OK)
        base->methods = &LOG_METHODS;
    else
        free(log->gathered);
    return result;
}

#define AS_BELOW(name, parameters, ...) \
    static int vfs_##name parameters { return below->name(below, __VA_ARGS__); }

AS_BELOW(delete, (vfs *self, const char *path, int syncs), path, syncs)
AS_BELOW(access, (vfs *self, const char *path, int flags, int *answer), path, flags, answer)
AS_BELOW(full_path, (vfs *self, const char *path, int size, char *to), path, size, to)
AS_BELOW(randomness, (vfs *self, int size, char *to), size, to)
AS_BELOW(sleep, (vfs *self, int microseconds), microseconds)
AS_BELOW(time, (vfs *self, double *days), days)
AS_BELOW(last_error, (vfs *self, int size, char *to), size, to)
AS_BELOW(time_ms, (vfs *self, int64_t *milliseconds), milliseconds)

static vfs gathering = {
    .version = 2,
    .name = "gathered-log",
    .open = vfs_open,
    .delete = vfs_delete,
    .access = vfs_access,
    .full_path = vfs_full_path,
    .randomness = vfs_randomness,
    .sleep = vfs_sleep,
    .time = vfs_time,
    .last_error = vfs_last_error,
    .time_ms = vfs_time_ms,
};

static PyObject *register_vfs(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "register(find, register) takes two addresses");
        return NULL;
    }
    void *find = PyLong_AsVoidPtr(arguments[0]);
    void *enter = PyLong_AsVoidPtr(arguments[1]);
    if (PyErr_Occurred())
        return NULL;
    if (find == NULL || enter == NULL)
        Py_RETURN_FALSE;
    if (below == NULL) {
        vfs *found = ((vfs * (*)(const char *)) find)(NULL);
        if (found == NULL || found->version < 2)
            Py_RETURN_FALSE;
        below = found;
        gathering.file_size = (int)sizeof(struct log) + below->file_size;
        gathering.path_max = below->path_max;
    }
    return PyBool_FromLong(((int (*)(vfs *, int))enter)(&gathering, 0) == OK);
}

static PyMethodDef FUNCTIONS[] = {
    {"register", (PyCFunction)(void (*)(void))register_vfs, METH_FASTCALL,
     "register(find, register) -> bool: add the VFS `gathered-log` to a library, by the addresses\n"
     "of its sqlite3_vfs_find and sqlite3_vfs_register; False: it takes none."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, .m_name = "_gathered_log", .m_size = 0, .m_methods = FUNCTIONS,
};

PyMODINIT_FUNC PyInit__gathered_log(void)
{
    return PyModule_Create(&MODULE);
}
