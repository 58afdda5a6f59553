#include "common/token.h"

#include "common/file.h"
#include "common/hash.h"
#include "common/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A token with so many addresses, and its text. */
static struct buffer make(struct token *token, uint32_t addresses)
{
    struct buffer text = {0};
    hash_start();
    *token = (struct token){.id = random_id(), .role = 3, .address_count = addresses};
    (void)snprintf(token->cluster, sizeof token->cluster, "c0ffee");
    random_bytes(token->server_key, KEY_BYTES);
    key_pair_make(&token->keys);
    for (uint32_t i = 0; i < addresses; i++)
        (void)snprintf(token->addresses[i], sizeof token->addresses[i],
            i % 2 ? "tcp://[2001:db8::%x]:7411" : "tcp://master-%x.example:7411", (unsigned)i);
    token_encode(token, &text);
    return text;
}

static void expect_equal(const struct token *a, const struct token *b)
{
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->role, b->role);
    assert_string_equal(a->cluster, b->cluster);
    assert_memory_equal(a->server_key, b->server_key, KEY_BYTES);
    assert_memory_equal(&a->keys, &b->keys, sizeof a->keys);
    assert_int_equal(a->address_count, b->address_count);
    for (uint32_t i = 0; i < a->address_count; i++)
        assert_string_equal(a->addresses[i], b->addresses[i]);
}

static void expect_refused(struct slice text, int code, const char *word)
{
    struct token token = {.id = 77};
    struct error error = {0};
    assert_int_equal(token_decode(text, &token, &error), code);
    if (strstr(error.text, word) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, word);
    assert_int_equal(token.id, 77);
}

static void token_is_read_back(void **state)
{
    (void)state;
    for (uint32_t addresses = 1; addresses <= TOKEN_ADDRESSES_MAX; addresses++) {
        struct token token, back;
        struct buffer text = make(&token, addresses);
        assert_int_equal(memcmp(text.data, "reeve1_", 7), 0);
        assert_null(memchr(text.data, '\n', text.length));
        assert_null(memchr(text.data, '=', text.length));
        assert_int_equal(token_decode(buffer_slice(&text), &back, NULL), 0);
        expect_equal(&token, &back);
        buffer_append_text(&text, "\r\n ");
        assert_int_equal(token_decode(buffer_slice(&text), &back, NULL), 0);
        buffer_fini(&text);
    }
}

static void token_of_the_largest_fields_is_read_back(void **state)
{
    (void)state;
    struct token token, back;
    struct buffer text = make(&token, TOKEN_ADDRESSES_MAX);
    memset(token.cluster, 'c', TOKEN_CLUSTER_MAX);
    for (uint32_t i = 0; i < TOKEN_ADDRESSES_MAX; i++) {
        memset(token.addresses[i], 'h', TOKEN_ADDRESS_MAX_BYTES);
        memcpy(token.addresses[i], "tcp://", 6);
        memcpy(token.addresses[i] + TOKEN_ADDRESS_MAX_BYTES - 6, ":07411", 6);
    }
    token.id = UINT64_MAX;
    token.role = UINT32_MAX;
    buffer_clear(&text);
    token_encode(&token, &text);
    assert_true(text.length <= TOKEN_TEXT_MAX_BYTES);
    assert_int_equal(token_decode(buffer_slice(&text), &back, NULL), 0);
    expect_equal(&token, &back);
    buffer_fini(&text);
}

static void token_that_is_cut_says_so_at_every_length(void **state)
{
    (void)state;
    struct token token;
    struct buffer text = make(&token, 2);
    for (size_t length = 0; length < text.length; length++)
        expect_refused(slice_make(text.data, length), ERR_MALFORMED,
            length < 7 ? "is no token" : "the token is cut");
    buffer_append_text(&text, "A");
    expect_refused(buffer_slice(&text), ERR_MALFORMED, "goes on for 1 characters after its end");
    buffer_fini(&text);
}

static void token_with_any_other_character_is_refused(void **state)
{
    (void)state;
    static const char others[] = "Aaz09-_ =+/\n\"$";
    struct token token, back;
    struct buffer text = make(&token, 1);
    for (size_t at = 0; at < text.length; at++) {
        char right = text.data[at];
        for (size_t i = 0; i < sizeof others; i++) {
            if (others[i] == right)
                continue;
            text.data[at] = others[i]; /* the last one is a NUL */
            struct error error = {0};
            int rc = token_decode(buffer_slice(&text), &back, &error);
            assert_true(rc == ERR_MALFORMED || (rc == ERR_VERSION && at < 6));
            assert_int_not_equal(error.text[0], '\0');
        }
        text.data[at] = right;
    }
    assert_int_equal(token_decode(buffer_slice(&text), &back, NULL), 0);
    buffer_fini(&text);
}

static void token_errors_name_what_is_wrong(void **state)
{
    (void)state;
    expect_refused(slice_of(""), ERR_MALFORMED, "is no token");
    expect_refused(slice_of("/var/lib/reeve/master"), ERR_MALFORMED, "begins with reeve1_");
    expect_refused(slice_of("reeve2_AAAA"), ERR_VERSION, "later version of reeve (reeve2)");
    expect_refused(slice_of("reeve17_"), ERR_VERSION, "reeve17");
    expect_refused(slice_of("reeve_AAAA"), ERR_MALFORMED, "is no token");
    expect_refused(slice_of("reeve1_AB CD"), ERR_MALFORMED, "character at place 10");
    expect_refused(slice_of("reeve1_AQAA"), ERR_MALFORMED, "mistyped or damaged at its beginning");
    struct token token;
    struct buffer text = make(&token, 1);
    text.data[40] = text.data[40] == 'x' ? 'y' : 'x';
    expect_refused(buffer_slice(&text), ERR_MALFORMED, "its checksum is wrong");
    buffer_clear(&text);
    buffer_append_text(&text, "reeve1_");
    memset(buffer_reserve(&text, 9000), 'A', 9000);
    text.length += 9000;
    expect_refused(buffer_slice(&text), ERR_MALFORMED, "has 9007 characters");
    buffer_fini(&text);
}

/* The text of a body to which head and checksum are added, as a forger would. */
static struct buffer forge(unsigned version, const void *fields, size_t length)
{
    struct buffer text = {0};
    struct hash hash;
    unsigned char body[4096];
    size_t whole = 3 + length + 8;
    hash_start();
    body[0] = (unsigned char)version;
    body[1] = (unsigned char)whole;
    body[2] = (unsigned char)(whole >> 8);
    memcpy(body + 3, fields, length);
    hash_of(slice_make(body, 3 + length), &hash);
    memcpy(body + 3 + length, hash.bytes, 8);
    buffer_append_text(&text, "reeve1_");
    size_t room = sodium_base64_ENCODED_LEN(whole, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    (void)sodium_bin2base64(
        buffer_reserve(&text, room), room, body, whole, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    text.length += room - 1;
    return text;
}

static void token_of_a_later_format_is_known_as_such(void **state)
{
    (void)state;
    struct buffer text = forge(2, "what is to come", 15);
    expect_refused(buffer_slice(&text), ERR_VERSION, "format 2, this one reads 1");
    buffer_fini(&text);
}

/* role, id, cluster, keys, addresses: a right one, with room for wrong ones. */
static size_t fields_of(
    unsigned char fields[512], const char *cluster, unsigned count, const char *address)
{
    size_t at = 12;
    memset(fields, 1, at);
    fields[at++] = (unsigned char)strlen(cluster);
    fields[at++] = 0;
    memcpy(fields + at, cluster, strlen(cluster));
    at += strlen(cluster);
    memset(fields + at, 7, 64);
    at += 64;
    fields[at++] = (unsigned char)count;
    fields[at++] = (unsigned char)strlen(address);
    fields[at++] = 0;
    memcpy(fields + at, address, strlen(address));
    return at + strlen(address);
}

static void token_with_forged_fields_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *cluster;
        unsigned count;
        const char *address;
        size_t extra, cut;
        const char *word; /* NULL: a right one */
    } forgeries[] = {
        {"c1", 1, "tcp://host:1", 0, 0, NULL},
        {"c1", 1, "tcp://host:1", 1, 0, "no master writes"},
        {"c1", 1, "tcp://host:1", 0, 1, "no master writes"},
        {"c1", 0, "tcp://host:1", 0, 0, "no master writes"},
        {"c1", 2, "tcp://host:1", 0, 0, "no master writes"},
        {"c1", 255, "tcp://host:1", 0, 0, "no master writes"},
        {"", 1, "tcp://host:1", 0, 0, "no master writes"},
        {"c1", 1, "", 0, 0, "no master writes"},
        {"c\x1b[1m", 1, "tcp://host:1", 0, 0, "no master writes"},
        {"c1", 1, "tcp://host:1\n", 0, 0, "no master writes"},
        {"c1", 1, "tcp://host:0", 0, 0, "none that can be reached"},
        {"c1", 1, "tcp://*:7411", 0, 0, "none that can be reached"},
        {"c1", 1, "ipc:///etc/x", 0, 0, "none that can be reached"},
        {"12345678901234567890123456789012345678901234567890123456789012345", 1, "tcp://host:1", 0,
            0, "no master writes"},
    };
    for (size_t i = 0; i < sizeof forgeries / sizeof forgeries[0]; i++) {
        unsigned char fields[512] = {0};
        struct token token;
        size_t length =
            fields_of(fields, forgeries[i].cluster, forgeries[i].count, forgeries[i].address);
        struct buffer text = forge(1, fields, length + forgeries[i].extra - forgeries[i].cut);
        if (forgeries[i].word != NULL)
            expect_refused(buffer_slice(&text), ERR_MALFORMED, forgeries[i].word);
        else
            assert_int_equal(token_decode(buffer_slice(&text), &token, NULL), 0);
        buffer_fini(&text);
    }
}

static void token_file_that_others_may_read_is_refused_by_name(void **state)
{
    (void)state;
    struct token token, back;
    struct buffer text = make(&token, 1);
    char folder[] = "/tmp/reeve-XXXXXX";
    char word[64];
    struct error error = {0};
    assert_non_null(mkdtemp(folder));
    (void)snprintf(word, sizeof word, "@%s/token", folder);
    const char *path = word + 1;
    assert_int_equal(token_read(word, &back, &error), ERR_NOT_FOUND);
    buffer_append_text(&text, "\n");
    assert_int_equal(file_replace(path, buffer_slice(&text), 0600, NULL), 0);
    assert_int_equal(token_read(word, &back, NULL), 0);
    expect_equal(&token, &back);
    const mode_t open_modes[] = {0640, 0604, 0620, 0602, 0644};
    for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
        assert_int_equal(chmod(path, open_modes[i]), 0);
        assert_int_equal(token_read(word, &back, &error), ERR_DENIED);
        assert_non_null(strstr(error.text, path));
        assert_non_null(strstr(error.text, "chmod 600"));
    }
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(token_read(word, &back, NULL), 0);
    assert_int_equal(file_replace(path, slice_of("hello"), 0600, NULL), 0);
    assert_int_equal(token_read(word, &back, &error), ERR_MALFORMED);
    assert_non_null(strstr(error.text, path));
    assert_int_equal(file_remove_tree(folder, NULL), 0);
    buffer_fini(&text);
}

static void token_may_be_the_word_itself(void **state)
{
    (void)state;
    struct token token, back;
    struct buffer text = make(&token, 1);
    assert_int_equal(token_read(buffer_text(&text), &back, NULL), 0);
    expect_equal(&token, &back);
    token_wipe(&back);
    assert_int_equal(back.keys.secret_key[0] | back.keys.secret_key[31] | (int)back.id, 0);
    buffer_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_is_read_back),
        cmocka_unit_test(token_of_the_largest_fields_is_read_back),
        cmocka_unit_test(token_that_is_cut_says_so_at_every_length),
        cmocka_unit_test(token_with_any_other_character_is_refused),
        cmocka_unit_test(token_errors_name_what_is_wrong),
        cmocka_unit_test(token_of_a_later_format_is_known_as_such),
        cmocka_unit_test(token_with_forged_fields_is_refused),
        cmocka_unit_test(token_file_that_others_may_read_is_refused_by_name),
        cmocka_unit_test(token_may_be_the_word_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
