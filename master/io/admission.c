#include "master/io/admission.h"

#include "common/clock.h"
#include "common/memory.h"
#include "common/table.h"
#include "proto/roles.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct entry {
    struct admitted admitted;
    int64_t until; /* wall; 0: without end */
};

struct admission {
    pthread_mutex_t mutex;
    struct names entries; /* key -> struct entry */
    struct refusals *refusals;
};

struct admission *admission_create(struct refusals *refusals)
{
    struct admission *admission = xcalloc(1, sizeof *admission);
    (void)pthread_mutex_init(&admission->mutex, NULL);
    admission->refusals = refusals;
    return admission;
}

static void free_entry(void *context, struct slice key, uint64_t value)
{
    (void)context;
    (void)key;
    free((struct entry *)(uintptr_t)value);
}

void admission_destroy(struct admission *admission)
{
    if (admission == NULL)
        return;
    names_each(&admission->entries, free_entry, NULL);
    names_fini(&admission->entries);
    (void)pthread_mutex_destroy(&admission->mutex);
    free(admission);
}

static struct entry *find(const struct admission *admission, struct slice key)
{
    uint64_t address;
    return names_get(&admission->entries, key, &address) ? (struct entry *)(uintptr_t)address
                                                         : NULL;
}

void admission_set(struct admission *admission, const struct access_effect *access)
{
    struct slice key = slice_make(access->key, sizeof access->key);
    (void)pthread_mutex_lock(&admission->mutex);
    struct entry *entry = find(admission, key);
    if (access->role == ROLE_NONE) {
        (void)names_remove(&admission->entries, key);
        free(entry);
    } else {
        if (entry == NULL) {
            entry = xcalloc(1, sizeof *entry);
            names_set(&admission->entries, key, (uintptr_t)entry);
        }
        entry->admitted.role = access->role;
        (void)snprintf(
            entry->admitted.name, sizeof entry->admitted.name, "%.*s", SLICE_PRINT(access->name));
        entry->until =
            access->expires_at != 0 ? access->expires_at + TOKEN_TOLD_DAYS * INT64_C(86400000) : 0;
    }
    (void)pthread_mutex_unlock(&admission->mutex);
}

bool admission_find(
    struct admission *admission, const unsigned char key[KEY_BYTES], struct admitted *ret_admitted)
{
    (void)pthread_mutex_lock(&admission->mutex);
    const struct entry *entry = find(admission, slice_make(key, KEY_BYTES));
    bool may = entry != NULL && (entry->until == 0 || entry->until > clock_wall_ms());
    if (may)
        *ret_admitted = entry->admitted;
    (void)pthread_mutex_unlock(&admission->mutex);
    return may;
}

bool admission_admit(void *context, const unsigned char key[KEY_BYTES], const char *address)
{
    struct admission *admission = context;
    struct admitted admitted;
    if (admission_find(admission, key, &admitted))
        return true;
    struct actor actor = {
        .role = ROLE_NONE, .key = slice_make(key, KEY_BYTES), .address = slice_of(address)};
    refusals_add(admission->refusals, &actor, "handshake", slice_of(NULL),
        "the key is not known, was removed, or its token is over");
    return false;
}

void admission_speaker(struct admission *admission, const struct transport *transport,
    transport_peer peer, struct speaker *ret_speaker)
{
    *ret_speaker = (struct speaker){0};
    bool known = transport_peer_identity(transport, peer, ret_speaker->key, ret_speaker->address);
    if (!known || !admission_find(admission, ret_speaker->key, &ret_speaker->admitted))
        ret_speaker->admitted = (struct admitted){.role = ROLE_NONE};
    ret_speaker->actor = (struct actor){
        .role = ret_speaker->admitted.role,
        .key = slice_make(ret_speaker->key, KEY_BYTES),
        .name = slice_of(ret_speaker->admitted.name),
        .address = slice_of(ret_speaker->address),
    };
}

static int deny(
    struct refusals *refusals, const struct actor *actor, uint32_t message, struct error *error)
{
    if (actor->role == ROLE_NONE)
        (void)error_set(error, ERR_DENIED,
            "%s: this key does not belong to the cluster, or not any more", message_name(message));
    else
        (void)error_set(error, ERR_DENIED, "%s: not allowed for the role %s", message_name(message),
            role_name(actor->role));
    refusals_add(refusals, actor, message_name(message), slice_of(NULL), error->text);
    return ERR_DENIED;
}

/* The id with which a request begins; 0 for what has none. */
static uint64_t request_of(struct frame_reader *reader)
{
    struct message message;
    uint64_t request = 0;
    if (frame_next(reader, &message, NULL) != 1 || message.body == NULL)
        return 0;
    const struct record_shape *shape = &message_shape(message.number)->record;
    if (shape->field_count > 0 && shape->fields[0].kind == FIELD_KIND_U64 &&
        strcmp(shape->fields[0].name, "request") == 0)
        memcpy(&request, (const char *)message.body + shape->fields[0].offset, sizeof request);
    return request;
}

int admission_check(struct refusals *refusals, const struct actor *actor,
    struct frame_reader reader, struct denial *ret_denial)
{
    struct frame_reader before = reader;
    struct error *error = &ret_denial->error;
    uint32_t number;
    int more;
    *ret_denial = (struct denial){0};
    while ((more = frame_next_number(&reader, &number, error)) == 1) {
        if (message_shape(number) != NULL && !role_may(actor->role, number)) {
            ret_denial->request = request_of(&before);
            return deny(refusals, actor, number, error);
        }
        before = reader;
    }
    return more;
}
