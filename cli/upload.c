#include "cli/upload.h"

#include "cli/live.h"
#include "cli/sizes.h"
#include "cli/terminal.h"
#include "common/clock.h"
#include "common/hash_file.h"
#include "common/limits.h"
#include "common/memory.h"
#include "common/table.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    /* Offers that are out: enough to fill a slow line with answers, few enough that the master
       keeps the upload of each open. */
    OFFERS_MAX = 64,
    CHUNK_BYTES = 64 * 1024,
    /* The master said nothing for so long: the connection may be another one by now, and its credit
       lost. A slow line takes its time for what is under way. */
    STALL_MS = 30000,
    SHOW_AFTER_MS = 700,
    SHOW_EVERY_MS = 100,
    SAY_AFTER_MS = 2000,
};

enum item_state { ITEM_NEW, ITEM_OFFERED, ITEM_WANTED, ITEM_SENT, ITEM_KEPT };

struct item {
    struct hash hash;
    uint64_t size, offset;
    enum item_state state;
    char *path;         /* below the folder, or NULL: the content is in `bytes` */
    struct stat status; /* when it was taken */
    char *bytes;
};

struct upload {
    const char *folder;
    struct item *items;
    size_t count, capacity;
    struct names by_hash; /* -> index */
    /* of a run */
    struct client *client;
    size_t low, next; /* all below are kept; to be offered next */
    size_t kept, out; /* done; offered and not done */
    size_t sending;   /* the item whose file is open, or count */
    int fd;
    uint64_t credit;
    uint64_t restarts; /* of the client */
    uint64_t started_ms, heard_ms, shown_ms;
    uint64_t sent_bytes, total_bytes;
    bool said;
    struct live live;
};

static struct slice key_of(const struct hash *hash)
{
    return slice_make(hash->bytes, sizeof hash->bytes);
}

/* ---- the sink ---- */

struct upload *upload_create(const char *folder)
{
    struct upload *upload = xcalloc(1, sizeof *upload);
    upload->folder = folder;
    upload->fd = -1;
    return upload;
}

void upload_destroy(struct upload *upload)
{
    if (upload == NULL)
        return;
    for (size_t i = 0; i < upload->count; i++) {
        free(upload->items[i].path);
        free(upload->items[i].bytes);
    }
    if (upload->fd >= 0)
        (void)close(upload->fd);
    free(upload->items);
    names_fini(&upload->by_hash);
    live_fini(&upload->live);
    free(upload);
}

static struct item *find(const struct upload *upload, struct slice hash)
{
    uint64_t index;
    return hash.length == HASH_BYTES && names_get(&upload->by_hash, hash, &index)
               ? &upload->items[index]
               : NULL;
}

static bool has(void *context, const struct hash *hash, uint64_t *ret_bytes)
{
    const struct item *item = find(context, key_of(hash));
    if (item == NULL)
        return false;
    if (ret_bytes != NULL)
        *ret_bytes = item->size;
    return true;
}

/* A place for new content; NULL when it is there. */
static struct item *add(struct upload *upload, const struct hash *hash, uint64_t size)
{
    if (find(upload, key_of(hash)) != NULL)
        return NULL;
    vector_reserve(&upload->items, upload->count, &upload->capacity);
    names_set(&upload->by_hash, key_of(hash), upload->count);
    upload->total_bytes += size;
    upload->items[upload->count] = (struct item){.hash = *hash, .size = size};
    return &upload->items[upload->count++];
}

static int take_file(
    void *context, int fd, uint64_t max_bytes, struct manifest_file *file, struct error *error)
{
    struct stat status;
    int rc = hash_descriptor(fd, max_bytes, &file->hash, &file->size, error);
    if (rc == 0 && fstat(fd, &status) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "fstat");
    struct item *item = rc == 0 ? add(context, &file->hash, file->size) : NULL;
    if (item != NULL) {
        item->path = xstrndup(file->path.ptr, file->path.length);
        item->status = status;
    }
    return rc;
}

static int take_bytes(void *context, struct slice bytes, struct hash *ret_hash, struct error *error)
{
    (void)error;
    hash_of(bytes, ret_hash);
    struct item *item = add(context, ret_hash, bytes.length);
    if (item != NULL)
        item->bytes = xstrndup(bytes.ptr, bytes.length);
    return 0;
}

struct bundle_sink upload_sink(struct upload *upload)
{
    return (struct bundle_sink){upload, has, take_file, take_bytes};
}

struct slice upload_bytes(const struct upload *upload, const struct hash *hash)
{
    const struct item *item = find(upload, key_of(hash));
    return item != NULL && item->bytes != NULL ? slice_make(item->bytes, item->size)
                                               : slice_of(NULL);
}

/* ---- sending ---- */

static int offer(struct upload *upload, struct error *error)
{
    int rc = 0;
    for (; rc == 0 && upload->out < OFFERS_MAX && upload->next < upload->count; upload->next++) {
        struct item *item = &upload->items[upload->next];
        const struct msg_blob_offer body = {key_of(&item->hash), item->size};
        if (item->state == ITEM_KEPT)
            continue;
        rc = client_send(upload->client, MESSAGE_blob_offer, &body, error);
        item->state = ITEM_OFFERED;
        upload->out++;
    }
    return rc;
}

static int changed(const struct upload *upload, const struct item *item, struct error *error)
{
    return error_set(error, ERR_AGAIN, "%s/%s: changed while it was sent; submit again",
        upload->folder, item->path);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The item's file, as the sink saw it: the master checks the content's hash, and cannot say whose
 * it is. */
static int open_item(struct upload *upload, size_t index, struct error *error)
{
    const struct item *item = &upload->items[index];
    struct stat status;
    if (upload->sending == index)
        return 0;
    if (upload->fd >= 0)
        (void)close(upload->fd);
    char *path = xasprintf("%s/%s", upload->folder, item->path);
    upload->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    free(path);
    upload->sending = index;
    if (upload->fd < 0 || fstat(upload->fd, &status) != 0 || !is_same(&status, &item->status))
        return changed(upload, item, error);
    return 0;
}

static int send_chunk(struct upload *upload, size_t index, struct error *error)
{
    static char data[CHUNK_BYTES];
    struct item *item = &upload->items[index];
    uint64_t limit = item->size - item->offset;
    if (limit > upload->credit)
        limit = upload->credit;
    if (limit > CHUNK_BYTES)
        limit = CHUNK_BYTES;
    struct msg_blob_chunk chunk = {.hash = key_of(&item->hash), .offset = item->offset};
    int rc = 0;
    if (item->path != NULL) {
        rc = open_item(upload, index, error);
        ssize_t got = rc == 0 ? pread(upload->fd, data, (size_t)limit, (off_t)item->offset) : 0;
        if (rc == 0 && got != (ssize_t)limit)
            rc = changed(upload, item, error);
        chunk.data = slice_make(data, (size_t)limit);
    } else {
        chunk.data = slice_make(item->bytes + item->offset, (size_t)limit);
    }
    if (rc == 0)
        rc = client_send(upload->client, MESSAGE_blob_chunk, &chunk, error);
    upload->credit -= limit;
    upload->sent_bytes += limit;
    item->offset += limit;
    if (item->offset >= item->size)
        item->state = ITEM_SENT;
    return rc;
}

/* What the master wants, in order, as far as its credit goes. */
static int pump(struct upload *upload, struct error *error)
{
    int rc = 0;
    while (upload->low < upload->next && upload->items[upload->low].state == ITEM_KEPT)
        upload->low++;
    for (size_t i = upload->low; rc == 0 && i < upload->next && upload->credit > 0; i++) {
        while (rc == 0 && upload->items[i].state == ITEM_WANTED && upload->credit > 0)
            rc = send_chunk(upload, i, error);
    }
    return rc;
}

/* ---- answers ---- */

static void take_want(struct upload *upload, const struct msg_blob_want *want)
{
    struct item *item = find(upload, want->hash);
    if (item == NULL || item->state == ITEM_NEW || item->state == ITEM_KEPT ||
        want->offset > item->size)
        return;
    item->offset = want->offset;
    item->state = want->offset < item->size ? ITEM_WANTED : ITEM_SENT;
}

static void take_kept(struct upload *upload, const struct msg_blob_kept *kept)
{
    struct item *item = find(upload, kept->hash);
    if (item == NULL || item->state == ITEM_KEPT)
        return;
    /* One that was given up at a stall is not out. */
    if (item->state != ITEM_NEW)
        upload->out--;
    item->state = ITEM_KEPT;
    upload->kept++;
}

/* A refusal on the bulk port names no request: whatever it is of, the bundle is not whole. */
static int take_refused(
    const struct upload *upload, const struct msg_refused *refused, struct error *error)
{
    int code = client_refused(upload->client, MESSAGE_blob_offer, refused, error);
    if (code != ERR_CORRUPT)
        return code;
    return error_set(
        error, ERR_AGAIN, "%s: a file changed while it was sent; submit again", upload->folder);
}

static int take(struct upload *upload, const struct message *message, struct error *error)
{
    switch (message->number) {
    case MESSAGE_credit:
        upload->credit += ((const struct msg_credit *)message->body)->bytes;
        break;
    case MESSAGE_blob_want:
        take_want(upload, message->body);
        break;
    case MESSAGE_blob_kept:
        take_kept(upload, message->body);
        break;
    case MESSAGE_refused:
        return take_refused(upload, message->body, error);
    default:
        return 0;
    }
    upload->heard_ms = clock_boot_ms();
    return 0;
}

/* All that is not kept is offered again, on a new connection: the master goes on where it was. */
static void begin_again(struct upload *upload)
{
    client_renew_bulk(upload->client);
    upload->restarts = client_restarts(upload->client);
    upload->heard_ms = clock_boot_ms();
    upload->credit = 0;
    upload->low = upload->next = upload->out = 0;
    for (size_t i = 0; i < upload->count; i++) {
        if (upload->items[i].state != ITEM_KEPT)
            upload->items[i].state = ITEM_NEW;
    }
}

/* ---- what is shown ---- */

/* Where nothing can be drawn, what takes long is said once. */
static void say(struct upload *upload, uint64_t now)
{
    struct buffer text = {0};
    if (upload->said || now < upload->started_ms + SAY_AFTER_MS)
        return;
    upload->said = true;
    sizes_append(upload->total_bytes, &text);
    terminal_say("sending the DAG's files: %zu, %s", upload->count, buffer_text(&text));
    buffer_fini(&text);
}

static void draw(struct upload *upload, bool visible)
{
    size_t columns, rows;
    struct buffer block = {0}, out = {0};
    if (visible) {
        buffer_printf(
            &block, "sending the DAG's files: %zu of %zu are there, ", upload->kept, upload->count);
        sizes_append(upload->sent_bytes, &block);
        buffer_append_text(&block, " sent\n");
    }
    terminal_size(stderr, &columns, &rows);
    live_draw(&upload->live, buffer_slice(&block), columns, &out);
    if (out.length > 0)
        (void)fwrite(out.data, 1, out.length, stderr);
    upload->shown_ms = clock_boot_ms();
    buffer_fini(&block);
    buffer_fini(&out);
}

static void show(struct upload *upload)
{
    uint64_t now = clock_boot_ms();
    if (!terminal_is_live(stderr))
        say(upload, now);
    else if (now >= upload->started_ms + SHOW_AFTER_MS && now >= upload->shown_ms + SHOW_EVERY_MS)
        draw(upload, true);
}

static int step(struct upload *upload, struct error *error)
{
    struct message message;
    uint64_t now = clock_boot_ms();
    if (now >= upload->heard_ms + STALL_MS || client_restarts(upload->client) != upload->restarts)
        begin_again(upload);
    int rc = offer(upload, error);
    if (rc == 0)
        rc = pump(upload, error);
    if (rc != 0)
        return rc;
    show(upload);
    rc = client_receive(upload->client, clock_boot_ms() + SHOW_EVERY_MS, &message, error);
    return rc == 1 ? take(upload, &message, error) : rc;
}

int upload_run(struct upload *upload, struct client *client, struct error *error)
{
    int rc = 0;
    upload->client = client;
    upload->started_ms = upload->heard_ms = clock_boot_ms();
    upload->restarts = client_restarts(client);
    upload->sending = upload->count;
    while (rc == 0 && upload->kept < upload->count)
        rc = step(upload, error);
    if (upload->shown_ms != 0)
        draw(upload, false);
    return rc;
}
