/*
 * Who belongs to the cluster: hosts that join by a token before they can work, workers that a
 * person removes and gives a new directory, and a directory that somebody copied to another host.
 */
#include "proto/roles.h"
#include "tests/sim/world.h"

#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>

/* A host that is none: it knows the token. */
enum { STRANGER = HOSTS_MAX - 1 };
enum { TOKEN_ID = 0x70cee, REMOTE_PERCENT = 50, REMOVED_PERCENT = 8, COPIED_PERCENT = 15 };

static const unsigned char TOKEN_KEY[32] = {[0] = 0xaa, [31] = 1}; /* no host has it */

static struct slice name_of(const struct host *host, char text[NAME_BYTES])
{
    (void)snprintf(text, NAME_BYTES, "w%u", host->like);
    return slice_of(text);
}

/* ---- what people ask ---- */

void joins_plan(struct world *world)
{
    world->joins_wanted = 0;
    for (uint32_t i = 0; i < world->host_count; i++) {
        struct host *host = &world->hosts[i];
        host->remote = draw_percent(world, DICE_PEOPLE, REMOTE_PERCENT);
        /* Of a large fleet as many as of a small one. */
        bool removed =
            draw_below(world, DICE_PEOPLE, 100 * (1 + world->host_count / 16)) < REMOVED_PERCENT;
        world->joins_wanted += host->remote ? 1 + removed : 0;
        if (host->remote)
            client_plan(world, draw_below(world, DICE_PEOPLE, 5000),
                (struct asked){.kind = EVENT_JOIN, .run = i});
        if (removed && is_kept(world))
            client_plan(world, draw_below(world, DICE_PEOPLE, 150000),
                (struct asked){.kind = EVENT_REMOVE_WORKER, .run = i});
    }
    if (world->joins_wanted > 0 && draw_percent(world, DICE_PEOPLE, 10))
        client_plan(world, 0, (struct asked){.kind = EVENT_JOIN, .run = STRANGER});
    if (world->joins_wanted > 0)
        client_plan(world, draw_below(world, DICE_PEOPLE, 5000),
            (struct asked){.kind = EVENT_CREATE_TOKEN});
}

/* A stranger comes when the token should be used up. */
bool joins_may_ask(struct world *world, struct asked *asked)
{
    if (asked->kind != EVENT_JOIN || asked->run != STRANGER ||
        world->joins_done == world->joins_wanted)
        return true;
    asked->answered = !world_is_bad(world);
    return false;
}

void joins_ask(struct world *world, const struct asked *asked, struct event *event)
{
    static const struct host stranger = {.key = {0xee}, .like = STRANGER};
    const struct host *host = asked->run == STRANGER ? &stranger : &world->hosts[asked->run];
    static char name[NAME_BYTES], host_name[NAME_BYTES];
    if (asked->kind == EVENT_CREATE_TOKEN) {
        event->create_token.token = TOKEN_ID;
        event->create_token.role = ROLE_WORKER;
        event->create_token.uses = world->joins_wanted;
        event->create_token.valid_ms = (uint64_t)30 * 24 * 3600 * 1000;
        memcpy(event->create_token.key, TOKEN_KEY, sizeof TOKEN_KEY);
    } else if (asked->kind == EVENT_JOIN) {
        event->actor.role = ROLE_JOINER;
        event->actor.key = slice_make(TOKEN_KEY, sizeof TOKEN_KEY);
        memcpy(event->join.key, host->key, sizeof host->key);
        event->join.name = name_of(host, name);
        event->join.host = name_of(host, host_name);
    } else {
        event->worker_change.worker = name_of(host, name);
    }
}

/* It was removed, and starts with a new directory, as a newcomer. */
static void renew(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    tell(world, "host %u is given a new directory", host->index);
    host_reboot(world, host->index);
    for (size_t i = 0; i < host->result_count; i++)
        free(host->results[i].bytes);
    host->result_count = 0;
    host->key[1]++;
    host->renewed_peer = ++world->next_life * HOSTS_MAX;
    host->epoch = host->leader = 0;
    host->follows = 0;
    host->cluster[0] = '\0';
    host->joined = false;
    if (host->remote)
        client_plan(world, draw_below(world, DICE_PEOPLE, 5000),
            (struct asked){.kind = EVENT_JOIN, .run = host->index});
}

bool joins_answered(struct world *world, struct asked *asked, const struct message *answer)
{
    struct host *host = &world->hosts[asked->run];
    if (asked->kind == EVENT_CREATE_TOKEN && answer->number != MESSAGE_token_created)
        violated(world, "a token was refused: %.*s",
            SLICE_PRINT(((const struct msg_refused *)answer->body)->text));
    if (asked->kind == EVENT_JOIN && asked->run == STRANGER)
        return true;
    if (asked->kind == EVENT_JOIN && answer->number == MESSAGE_joined) {
        world->joins_done++;
        host->joined = true;
        host_start(world, host->index);
    } else if (asked->kind == EVENT_JOIN) {
        /* Its token is not there yet; what else could be in the way would stay so. */
        return false;
    }
    return true;
}

void joins_removed(struct world *world, uint32_t host)
{
    plan_ahead(world, 1 + draw_below(world, DICE_PEOPLE, 20000), renew)->host = host;
}

/* ---- whose key speaks ---- */

struct actor joins_actor(const struct world *world, uint64_t peer, unsigned char key[32])
{
    const struct host *host = &world->hosts[peer % HOSTS_MAX];
    if (!host->remote)
        return (struct actor){.role = ROLE_LOCAL};
    /* A frame of an older connection says what that one had proven. */
    memcpy(key, host->key, sizeof host->key);
    if (peer < host->renewed_peer)
        key[1]--;
    return (struct actor){.role = ROLE_WORKER, .key = slice_make(key, sizeof host->key)};
}

bool joins_may_bar(const struct world *world, const struct host *host)
{
    for (uint32_t i = 0; i < world->asked_count; i++) {
        if (world->asked[i].kind == EVENT_REMOVE_WORKER && world->asked[i].run == host->like)
            return true;
    }
    return false;
}

/* ---- a copied directory ---- */

/* The folder as it lies there, on a host of another boot. */
static void copy_directory(struct world *world, const struct happening *happening)
{
    const struct host *from = &world->hosts[happening->host];
    struct host *to = &world->hosts[world->host_count];
    if (from->cluster[0] == '\0' || (from->remote && !from->joined))
        return;
    tell(world, "the directory of host %u is copied to host %u", from->index, world->host_count);
    *to = (struct host){.index = world->host_count++,
        .like = from->like,
        .clock_ms = 1 + draw_below(world, DICE_PEOPLE, 100000000),
        .clock_rate = 1000,
        .epoch = from->epoch,
        .leader = from->leader,
        .dead_count = from->dead_count,
        .follows = from->follows,
        .remote = from->remote,
        .joined = from->joined,
        .renewed_peer = from->renewed_peer};
    memcpy(to->key, from->key, sizeof to->key);
    memcpy(to->dead, from->dead, sizeof to->dead);
    memcpy(to->cluster, from->cluster, sizeof to->cluster);
    to->boot[0] = (unsigned char)(to->index + 1);
    /* It may take the other's runner for its own, which is dead. */
    if (draw_percent(world, DICE_PEOPLE, 50))
        to->last_instance = from->instance;
    for (size_t i = 0; i < from->result_count; i++) {
        if (!from->results[i].used)
            continue;
        vector_reserve(&to->results, to->result_count, &to->result_capacity);
        struct saved_result *result = &to->results[to->result_count++];
        *result = from->results[i];
        result->bytes = xstrndup(from->results[i].bytes, from->results[i].length);
    }
    host_start(world, to->index);
}

void joins_begin(struct world *world)
{
    if (world->host_count == HOSTS_MAX || world->faults.end_ms == 0 ||
        !draw_percent(world, DICE_PEOPLE, COPIED_PERCENT))
        return;
    uint64_t at_ms = draw_below(world, DICE_PEOPLE, FAULTS_MAX_MS);
    /* What has no lease goes on there when the other host is back, until somebody looks for it. */
    if (!is_kept(world) || world->has_unleased)
        return;
    plan_ahead(world, at_ms, copy_directory)->host =
        draw_below(world, DICE_PEOPLE, world->host_count);
}
