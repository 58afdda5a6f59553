/*
 * A connection as somebody writes it: what is read can be written as a URI and as JSON and is then
 * read as it was; what is refused is refused with a text. The mask hides a part of it wherever a
 * stream is cut.
 */
#include "common/connection/mask.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static bool same(const struct connection *a, const struct connection *b)
{
    return slice_equal(a->type, b->type) && slice_equal(a->host, b->host) &&
           slice_equal(a->schema, b->schema) && slice_equal(a->login, b->login) &&
           slice_equal(a->password, b->password) && slice_equal(a->extra, b->extra) &&
           a->port == b->port;
}

static void read_again(const struct connection *connection)
{
    struct arena arena = {0};
    struct buffer text = {0};
    struct connection again;
    connection_write_json(connection, slice_of("x"), &text);
    demand(connection_parse(buffer_slice(&text), &arena, &again, NULL) == 0);
    demand(same(connection, &again));
    buffer_fini(&text);
    arena_fini(&arena);
}

static void hide(struct slice secret, struct slice text, size_t cut)
{
    struct mask *mask = mask_create();
    struct mask_stream stream = {0};
    struct buffer out = {0};
    mask_add(mask, secret, (struct slice){0});
    mask_feed(mask, &stream, slice_make(text.ptr, cut), false, &out);
    mask_feed(mask, &stream, slice_make(text.ptr + cut, text.length - cut), true, &out);
    demand(out.length == text.length);
    if (secret.length >= MASK_LEAST_BYTES && memchr(secret.ptr, '*', secret.length) == NULL)
        demand(memmem(out.data, out.length, secret.ptr, secret.length) == NULL);
    mask_stream_fini(&stream);
    buffer_fini(&out);
    mask_destroy(mask);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct arena arena = {0};
    struct connection connection;
    struct error error = {0};
    int code = connection_parse(slice_make(data, size), &arena, &connection, &error);
    demand(code == 0 || error.text[0] != '\0');
    if (code == 0)
        read_again(&connection);
    arena_fini(&arena);
    if (size > 3 && data[0] < size)
        hide(slice_make(data + 1, data[0]), slice_make(data, size), data[1] < size ? data[1] : 0);
    return 0;
}
