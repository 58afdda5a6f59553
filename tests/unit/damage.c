#include "tests/unit/damage.h"

#include "common/file.h"
#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void put(const char *path, const void *bytes, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, bytes, length, NULL), 0);
    assert_int_equal(close(fd), 0);
}

struct damage {
    const char *path;
    damage_fn look;
    void *context;
};

static void try(const struct damage *damage, const void *bytes, size_t length, const char *what)
{
    put(damage->path, bytes, length);
    damage->look(damage->context, what);
}

static void flip_bit(const struct damage *damage, struct buffer *bytes, size_t at, unsigned bit)
{
    char what[80];
    (void)snprintf(what, sizeof what, "bit %u of byte %zu flipped", bit, at);
    bytes->data[at] = (char)(bytes->data[at] ^ (1 << bit));
    try(damage, bytes->data, bytes->length, what);
    bytes->data[at] = (char)(bytes->data[at] ^ (1 << bit));
}

static void flip_bits(const struct damage *damage, struct buffer *bytes, size_t step)
{
    for (size_t at = 0; at < bytes->length; at += step) {
        for (unsigned bit = 0; bit < 8; bit++) {
            if (step == 1 || bit == at / step % 8)
                flip_bit(damage, bytes, at, bit);
        }
    }
}

static void cut_off(const struct damage *damage, const struct buffer *bytes, size_t step)
{
    char what[80];
    for (size_t length = 0; length < bytes->length; length += step) {
        (void)snprintf(what, sizeof what, "cut off after %zu of %zu bytes", length, bytes->length);
        try(damage, bytes->data, length, what);
    }
}

static void make_foreign(const struct damage *damage, size_t length)
{
    static const char text[] = "a foreign file\n";
    unsigned char *noise = xcalloc(1, length + 1);
    try(damage, noise, length, "all zeros");
    uint64_t state = 7;
    for (size_t i = 0; i < length; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        noise[i] = (unsigned char)(state >> 56);
    }
    try(damage, noise, length, "noise");
    try(damage, text, sizeof text - 1, "a foreign text");
    free(noise);
}

void damage_each(const char *path, size_t step, damage_fn look, void *context)
{
    const struct damage damage = {path, look, context};
    struct buffer bytes = {0};
    assert_int_equal(file_read(path, SIZE_MAX, &bytes, NULL), 0);
    flip_bits(&damage, &bytes, step);
    cut_off(&damage, &bytes, step);
    make_foreign(&damage, bytes.length);
    put(path, bytes.data, bytes.length);
    buffer_fini(&bytes);
}

void damage_near(const char *path, struct slice bytes, size_t before, damage_fn look, void *context)
{
    const struct damage damage = {path, look, context};
    struct buffer file = {0};
    assert_int_equal(file_read(path, SIZE_MAX, &file, NULL), 0);
    const char *found = memmem(file.data, file.length, bytes.ptr, bytes.length);
    assert_non_null(found);
    size_t place = (size_t)(found - file.data);
    assert_true(place >= before);
    for (size_t at = place - before; at < place + bytes.length; at++)
        flip_bit(&damage, &file, at, (unsigned)(at % 8));
    put(path, file.data, file.length);
    buffer_fini(&file);
}
