#include "master/store/store_column.h"

#include "common/hash.h"

void bind_number(sqlite3_stmt *statement, int index, int64_t number)
{
    (void)sqlite3_bind_int64(statement, index, number);
}

void bind_id(sqlite3_stmt *statement, int index, uint64_t id)
{
    (void)sqlite3_bind_int64(statement, index, (sqlite3_int64)id);
}

void bind_slice(sqlite3_stmt *statement, int index, struct slice text)
{
    if (text.length == 0)
        (void)sqlite3_bind_null(statement, index);
    else
        (void)sqlite3_bind_text64(
            statement, index, text.ptr, text.length, SQLITE_STATIC, SQLITE_UTF8);
}

void bind_bytes(sqlite3_stmt *statement, int index, struct slice bytes)
{
    if (bytes.length == 0)
        (void)sqlite3_bind_null(statement, index);
    else
        (void)sqlite3_bind_blob64(statement, index, bytes.ptr, bytes.length, SQLITE_STATIC);
}

struct slice read_slice(sqlite3_stmt *statement, int column, struct arena *arena)
{
    /* The bytes as they lie there, TEXT too. */
    const void *bytes = sqlite3_column_blob(statement, column);
    int length = sqlite3_column_bytes(statement, column);
    if (bytes == NULL || length <= 0)
        return (struct slice){NULL, 0};
    return arena_copy(arena, slice_make(bytes, (size_t)length));
}

int64_t take_number(struct row_reader *reader)
{
    return sqlite3_column_int64(reader->statement, reader->column++);
}

uint64_t take_id(struct row_reader *reader)
{
    return (uint64_t)take_number(reader);
}

uint32_t take_u32(struct row_reader *reader, uint32_t min, uint32_t max)
{
    int64_t number = take_number(reader);
    if (number < min || number > max)
        reader->bad = true;
    return (uint32_t)number;
}

bool take_flag(struct row_reader *reader)
{
    return take_u32(reader, 0, 1) != 0;
}

struct slice take_slice(struct row_reader *reader)
{
    return read_slice(reader->statement, reader->column++, reader->arena);
}

void take_bytes(struct row_reader *reader, void *bytes, int length)
{
    const void *blob = sqlite3_column_blob(reader->statement, reader->column);
    if (blob != NULL && sqlite3_column_bytes(reader->statement, reader->column) == length)
        memcpy(bytes, blob, (size_t)length);
    else
        reader->bad = true;
    reader->column++;
}

struct slice take_hash(struct row_reader *reader)
{
    struct slice bytes = take_slice(reader);
    if (bytes.length != 0 && bytes.length != HASH_BYTES)
        reader->bad = true;
    return bytes;
}

int check_row(const struct row_reader *reader, const char *what, struct error *error)
{
    if (reader->bad)
        return error_set(
            error, ERR_CORRUPT, "the store is damaged: a row of %s holds what cannot be", what);
    return 0;
}
