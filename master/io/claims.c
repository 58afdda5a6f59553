#include "master/io/claims.h"

#include "common/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Questions that are out, answered or not. */
enum { CLAIMS_MAX = 4096 };

struct ring {
    struct claim items[CLAIMS_MAX];
    uint32_t first;
    _Atomic uint32_t count; /* looked at without the mutex, to see that there is nothing */
};

struct claims {
    pthread_mutex_t mutex;
    uint32_t out;
    struct ring questions, answers;
    struct claims_wake loop, asker;
};

struct claims *claims_create(struct claims_wake loop)
{
    struct claims *claims = xcalloc(1, sizeof *claims);
    (void)pthread_mutex_init(&claims->mutex, NULL);
    claims->loop = loop;
    return claims;
}

void claims_destroy(struct claims *claims)
{
    if (claims == NULL)
        return;
    (void)pthread_mutex_destroy(&claims->mutex);
    free(claims);
}

void claims_set_asker(struct claims *claims, struct claims_wake asker)
{
    claims->asker = asker;
}

static void put(struct ring *ring, const struct claim *claim)
{
    ring->items[(ring->first + ring->count) % CLAIMS_MAX] = *claim;
    ring->count++;
}

static bool get(struct claims *claims, struct ring *ring, struct claim *ret_claim)
{
    if (ring->count == 0)
        return false;
    (void)pthread_mutex_lock(&claims->mutex);
    *ret_claim = ring->items[ring->first];
    ring->first = (ring->first + 1) % CLAIMS_MAX;
    ring->count--;
    claims->out -= ring == &claims->answers;
    (void)pthread_mutex_unlock(&claims->mutex);
    return true;
}

bool claims_ask(struct claims *claims, const struct claim *claim)
{
    (void)pthread_mutex_lock(&claims->mutex);
    bool taken = claims->out < CLAIMS_MAX;
    if (taken) {
        put(&claims->questions, claim);
        claims->out++;
    }
    (void)pthread_mutex_unlock(&claims->mutex);
    if (taken)
        claims->loop.wake(claims->loop.context);
    return taken;
}

bool claims_take(struct claims *claims, struct claim *ret_claim)
{
    return get(claims, &claims->answers, ret_claim);
}

bool claims_next(struct claims *claims, struct claim *ret_claim)
{
    return get(claims, &claims->questions, ret_claim);
}

void claims_answer(struct claims *claims, const struct claim *claim)
{
    (void)pthread_mutex_lock(&claims->mutex);
    put(&claims->answers, claim);
    (void)pthread_mutex_unlock(&claims->mutex);
    claims->asker.wake(claims->asker.context);
}
