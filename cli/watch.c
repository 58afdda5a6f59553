#include "cli/watch.h"

#include "common/clock.h"
#include "common/random.h"

enum {
    RENEW_MS = 10000, /* the master forgets a watch after 30 s */
    AGAIN_MS = 1000,  /* until the first answer */
};

void watch_init(struct watch *watch, struct client *client, const char *run)
{
    *watch = (struct watch){.client = client, .run = run, .stale = true};
}

static int ask(struct watch *watch, bool stop, struct error *error)
{
    const struct msg_watch body = {
        .request = watch->id, .run = slice_of(watch->run), .tasks = true, .stop = stop};
    watch->sent_ms = clock_boot_ms();
    return client_send(watch->client, MESSAGE_watch, &body, error);
}

int watch_begin(struct watch *watch, struct error *error)
{
    watch_end(watch);
    watch->id = random_id();
    watch->number = 0;
    watch->stale = false;
    watch->restarts = client_restarts(watch->client);
    return ask(watch, false, error);
}

bool watch_is_stale(const struct watch *watch)
{
    return watch->stale || client_restarts(watch->client) != watch->restarts;
}

const struct msg_run_changed *watch_take(struct watch *watch, const struct message *message)
{
    if (message->number == MESSAGE_refused) {
        const struct msg_refused *refused = message->body;
        if (refused->request == watch->id)
            (void)client_refusal(refused, &watch->refusal);
    }
    if (message->number != MESSAGE_run_changed)
        return NULL;
    const struct msg_run_changed *changed = message->body;
    if (changed->request != watch->id)
        return NULL;
    if (changed->number != watch->number + 1)
        watch->stale = true;
    watch->number = changed->number;
    return changed;
}

uint64_t watch_due(const struct watch *watch)
{
    return watch->sent_ms + (watch->number == 0 ? (uint64_t)AGAIN_MS : (uint64_t)RENEW_MS);
}

int watch_renew(struct watch *watch, struct error *error)
{
    if (watch->refusal.code != 0) {
        if (error != NULL)
            *error = watch->refusal;
        return watch->refusal.code;
    }
    return clock_boot_ms() >= watch_due(watch) ? ask(watch, false, error) : 0;
}

void watch_end(struct watch *watch)
{
    if (watch->id != 0)
        (void)ask(watch, true, NULL);
    watch->id = 0;
}
