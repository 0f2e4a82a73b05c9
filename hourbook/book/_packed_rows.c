/* Many rows out of one blob: `packed_rows(blob)`, a table-valued function of SQLite's.
 *
 * The blob is rows, one after the other, each a MessagePack array of up to COLUMNS values, which are
 * the columns c0, c1, ...: integers, text, binaries, nil; and arrays of text, as they are encoded.
 * What a row does not have is NULL.
 *
 * An extension of SQLite ("Run-Time Loadable Extensions"; "The Virtual Table Mechanism Of SQLite",
 * 2.1.2 Eponymous virtual tables), not of Python: packed_rows.py offers it. The structs are those of
 * sqlite3.h and sqlite3ext.h, whose fields never change. They are written out here: who builds this
 * has neither.
 */

#include <stdlib.h>
#include <string.h>

#include "protocols/msgpack.h"

enum { OK = 0, NO_MEMORY = 7, CONSTRAINT = 19, MISMATCH = 20, EQUAL = 2 };
enum { COLUMNS = 17 };
static const char DECLARATION[] = "CREATE TABLE packed_rows(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9,"
                                  " c10, c11, c12, c13, c14, c15, c16, packed HIDDEN)";

typedef struct connection connection;
typedef struct context context;
typedef struct value value;
typedef struct module module;

struct table { /* sqlite3_vtab */
    const module *module;
    int references;
    char *message;
};

struct cursor { /* sqlite3_vtab_cursor */
    struct table *table;
};

struct plan { /* sqlite3_index_info */
    int constraint_count;
    const struct {
        int column;
        unsigned char operator, is_usable;
        int term;
    } *constraints;
    int order_count;
    const void *orders;
    struct {
        int argument;
        unsigned char is_checked;
    } *usage;
    int number;
    char *text;
    int frees_text, is_ordered;
    double cost;
};

struct module { /* sqlite3_module, version 1 */
    int version;
    int (*create)(connection *, void *, int, const char *const *, struct table **, char **);
    int (*connect)(connection *, void *, int, const char *const *, struct table **, char **);
    int (*plan)(struct table *, struct plan *);
    int (*disconnect)(struct table *);
    int (*destroy)(struct table *);
    int (*open)(struct table *, struct cursor **);
    int (*close)(struct cursor *);
    int (*filter)(struct cursor *, int, const char *, int, value **);
    int (*next)(struct cursor *);
    int (*is_at_end)(struct cursor *);
    int (*column)(struct cursor *, context *, int);
    int (*row_id)(struct cursor *, int64_t *);
    void *others[7];
};

/* Of sqlite3_api_routines: where each is. */
enum { CREATE_MODULE = 47, DECLARE = 50, RESULT_BLOB = 78, RESULT_INT64 = 83, RESULT_TEXT = 85,
       VALUE_BLOB = 102, VALUE_BYTES = 103 };

/* Of the library that a connection is of: there may be several in a process. */
struct routines {
    int (*create_module)(connection *, const char *, const module *, void *);
    int (*declare)(connection *, const char *);
    void (*result_blob)(context *, const void *, int, void (*)(void *));
    void (*result_int64)(context *, int64_t);
    void (*result_text)(context *, const char *, int, void (*)(void *));
    const void *(*value_blob)(value *);
    int (*value_bytes)(value *);
};

struct rows_table {
    struct table base;
    struct routines sqlite;
};

struct field {
    enum { NIL, INT, TEXT, BLOB } kind;
    uint64_t bits;
    const uint8_t *bytes;
    size_t size;
};

struct rows {
    struct cursor base; /* of a rows_table */
    uint8_t *packed; /* what SQLite lends us it may take back */
    input_t input;
    int64_t number; /* of the row, from 1; 0: there is none any more */
    struct field fields[COLUMNS];
};

/* -- one row ----------------------------------------------------------------------------------- */

static bool take_texts(input_t *input)
{
    const uint8_t *text;
    size_t length;
    ptrdiff_t left = take_count(input);
    while (left > 0 && take_text(input, &text, &length))
        left--;
    return left == 0;
}

static bool take_field(input_t *input, struct field *field)
{
    const uint8_t *begin = input->at;
    bool is_signed;
    if (take_text(input, &field->bytes, &field->size)) {
        field->kind = TEXT;
    } else if (take_binary(input, &field->bytes, &field->size)) {
        field->kind = BLOB;
    } else if (take_int(input, &field->bits, &is_signed)) {
        field->kind = INT;
        return is_signed || field->bits <= INT64_MAX;
    } else if (first_byte(input) == 0xc0) {
        field->kind = NIL;
        input->at++;
    } else if (take_texts(input)) {
        *field = (struct field){BLOB, 0, begin, (size_t)(input->at - begin)};
    } else {
        return false;
    }
    return true;
}

static int rows_next(struct cursor *base)
{
    struct rows *rows = (struct rows *)base;
    if (rows->input.at == rows->input.end) {
        rows->number = 0;
        return OK;
    }
    ptrdiff_t count = take_count(&rows->input);
    if (count < 0 || count > COLUMNS)
        return MISMATCH;
    for (int i = 0; i < COLUMNS; i++) {
        rows->fields[i].kind = NIL;
        if (i < count && !take_field(&rows->input, &rows->fields[i]))
            return MISMATCH;
    }
    rows->number++;
    return OK;
}

static const struct routines *sqlite_of(const struct cursor *base)
{
    return &((const struct rows_table *)base->table)->sqlite;
}

static int rows_column(struct cursor *base, context *to, int column)
{
    static const struct field nil = {NIL, 0, NULL, 0};
    const struct field *field = column < COLUMNS ? &((struct rows *)base)->fields[column] : &nil;
    switch (field->kind) {
    case INT:
        sqlite_of(base)->result_int64(to, (int64_t)field->bits);
        break;
    case TEXT: /* no destructor: it stays where it is as long as it is needed */
        sqlite_of(base)->result_text(to, (const char *)field->bytes, (int)field->size, NULL);
        break;
    case BLOB:
        sqlite_of(base)->result_blob(to, field->bytes, (int)field->size, NULL);
        break;
    case NIL:
        break;
    }
    return OK;
}

static int rows_are_at_end(struct cursor *base)
{
    return ((struct rows *)base)->number == 0;
}

static int rows_row_id(struct cursor *base, int64_t *id)
{
    *id = ((struct rows *)base)->number;
    return OK;
}

/* -- all of them ------------------------------------------------------------------------------- */

#define TAKE(name, place) memcpy(&sqlite.name, &routines[place], sizeof sqlite.name)

/* `routines`: sqlite3_api_routines. */
static struct routines take_routines(void *const *routines)
{
    struct routines sqlite;
    TAKE(create_module, CREATE_MODULE);
    TAKE(declare, DECLARE);
    TAKE(result_blob, RESULT_BLOB);
    TAKE(result_int64, RESULT_INT64);
    TAKE(result_text, RESULT_TEXT);
    TAKE(value_blob, VALUE_BLOB);
    TAKE(value_bytes, VALUE_BYTES);
    return sqlite;
}

static int rows_connect(connection *to, void *routines, int count, const char *const *words,
                        struct table **made, char **message)
{
    struct routines sqlite = take_routines(routines);
    int result = sqlite.declare(to, DECLARATION);
    if (result != OK)
        return result;
    struct rows_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NO_MEMORY;
    table->sqlite = sqlite;
    *made = &table->base;
    return OK;
}

static int rows_disconnect(struct table *table)
{
    free(table);
    return OK;
}

/* Only with a blob: `packed = ?`, which is what an argument is turned into. */
static int rows_plan(struct table *table, struct plan *plan)
{
    for (int i = 0; i < plan->constraint_count; i++) {
        if (plan->constraints[i].column == COLUMNS && plan->constraints[i].is_usable &&
            plan->constraints[i].operator == EQUAL) {
            plan->usage[i].argument = 1;
            plan->usage[i].is_checked = 1;
            plan->cost = 1000;
            return OK;
        }
    }
    return CONSTRAINT;
}

static int rows_open(struct table *table, struct cursor **made)
{
    *made = calloc(1, sizeof(struct rows));
    return *made == NULL ? NO_MEMORY : OK;
}

static int rows_filter(struct cursor *base, int number, const char *text, int count, value **values)
{
    struct rows *rows = (struct rows *)base;
    const void *packed = sqlite_of(base)->value_blob(values[0]);
    size_t size = (size_t)sqlite_of(base)->value_bytes(values[0]);
    free(rows->packed);
    rows->packed = malloc(size + 1);
    if (rows->packed == NULL)
        return NO_MEMORY;
    if (size > 0)
        memcpy(rows->packed, packed, size);
    rows->input = (input_t){rows->packed, rows->packed + size};
    rows->number = 0;
    return rows_next(base);
}

static int rows_close(struct cursor *base)
{
    free(((struct rows *)base)->packed);
    free(base);
    return OK;
}

static const module ROWS = {
    .connect = rows_connect,
    .plan = rows_plan,
    .disconnect = rows_disconnect,
    .destroy = rows_disconnect,
    .open = rows_open,
    .close = rows_close,
    .filter = rows_filter,
    .next = rows_next,
    .is_at_end = rows_are_at_end,
    .column = rows_column,
    .row_id = rows_row_id,
};

__attribute__((visibility("default"))) int sqlite3_extension_init(connection *to, char **message,
                                                                  void *const *routines)
{
    if (routines == NULL) /* of a SQLite that takes no extensions */
        return OK;
    return take_routines(routines).create_module(to, "packed_rows", &ROWS, (void *)routines);
}
