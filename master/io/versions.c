#include "master/io/versions.h"

#include "common/log.h"

/* At more all are forgotten, and told once more. */
enum { TOLD_MAX = 1000 };

void versions_note(
    struct versions *versions, transport_peer peer, const struct actor *actor, struct slice bytes)
{
    uint64_t version = frame_version(bytes);
    if (version == PROTOCOL_VERSION || version == 0)
        return;
    uint64_t who = actor->key.length > 0 ? hash_bytes(actor->key) : peer;
    if (table_get(&versions->told, who, NULL))
        return;
    if (versions->told.count >= TOLD_MAX)
        versions_fini(versions);
    table_set(&versions->told, who, version);
    log_warn("%.*s%s%.*s speaks protocol version %llu, this master version %d: refused; update "
             "the older",
        SLICE_PRINT(actor->name), actor->name.length > 0 ? " at " : "",
        SLICE_PRINT(actor->address.length > 0 ? actor->address : slice_of("a peer on this host")),
        (unsigned long long)version, PROTOCOL_VERSION);
}

void versions_fini(struct versions *versions)
{
    table_fini(&versions->told);
    *versions = (struct versions){0};
}
