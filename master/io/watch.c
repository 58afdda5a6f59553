#include "master/io/watch.h"

#include "common/memory.h"
#include "master/io/run_name.h"

#include <assert.h>
#include <stdlib.h>

enum { SWEEP_EVERY_MS = 5000 };

struct subscription {
    struct watch_key key;
    uint64_t number; /* of the last run_changed */
    uint64_t ends_ms;
    bool tasks;
    struct watched_run *run;
    struct subscription *next; /* of the same run */
};

struct watched_run {
    uint64_t run;
    struct subscription *subscriptions;
    uint32_t *changes; /* indices into the batch's changes */
    size_t change_count, change_capacity;
    struct watched_run *next_touched;
};

static struct slice key_slice(const struct watch_key *key)
{
    return slice_make(key, sizeof *key);
}

static struct watched_run *find_run(const struct watches *watches, uint64_t run)
{
    uint64_t address;
    return table_get(&watches->by_run, run, &address) ? (struct watched_run *)(uintptr_t)address
                                                      : NULL;
}

static struct subscription *find(const struct watches *watches, const struct watch_key *key)
{
    uint64_t address;
    return names_get(&watches->by_name, key_slice(key), &address)
               ? (struct subscription *)(uintptr_t)address
               : NULL;
}

bool watch_renew(struct watches *watches, struct watch_key key, uint64_t now_ms)
{
    struct subscription *subscription = find(watches, &key);
    if (subscription == NULL)
        return false;
    subscription->ends_ms = now_ms + WATCH_LIFE_MS;
    return true;
}

static void end(struct watches *watches, struct subscription *subscription)
{
    struct watched_run *run = subscription->run;
    struct subscription **link = &run->subscriptions;
    while (*link != subscription)
        link = &(*link)->next;
    *link = subscription->next;
    (void)names_remove(&watches->by_name, key_slice(&subscription->key));
    free(subscription);
    if (run->subscriptions != NULL)
        return;
    (void)table_remove(&watches->by_run, run->run);
    free(run->changes);
    free(run);
}

void watch_end(struct watches *watches, struct watch_key key)
{
    struct subscription *subscription = find(watches, &key);
    if (subscription != NULL)
        end(watches, subscription);
}

/* What all run_changed messages of a run have in common. */
struct announcement {
    struct msg_run_changed body;
    struct state_count counts[TASK_CANCELLING + 1];
};

static bool announce(const struct watches *watches, uint64_t run, struct arena *arena,
    struct announcement *announcement)
{
    struct run_view view;
    if (!core_view_run(watches->core, run, &view))
        return false;
    struct msg_run_changed *body = &announcement->body;
    *body = (struct msg_run_changed){
        .run = run_name_text(arena, view.dag, view.number),
        .state = view.state,
        .task_count = plan_task_count(view.plan),
        .counts.items = announcement->counts,
    };
    for (uint32_t state = 0; state <= TASK_CANCELLING; state++) {
        if (view.counts[state] > 0)
            announcement->counts[body->counts.count++] =
                (struct state_count){state, view.counts[state]};
    }
    return true;
}

static void encode(const struct watches *watches, struct subscription *subscription,
    struct msg_run_changed *body, struct buffer *frame)
{
    body->request = subscription->key.request;
    body->number = ++subscription->number;
    frame_begin(frame, &watches->header);
    message_encode(frame, MESSAGE_run_changed, body);
}

static struct watched_run *get_run(struct watches *watches, uint64_t run)
{
    struct watched_run *watched = find_run(watches, run);
    if (watched != NULL)
        return watched;
    watched = xcalloc(1, sizeof *watched);
    watched->run = run;
    table_set(&watches->by_run, run, (uintptr_t)watched);
    return watched;
}

bool watch_begin(struct watches *watches, const struct watch_wish *wish, uint64_t now_ms,
    struct buffer *first_frame)
{
    watch_end(watches, wish->key);
    if (watches->by_name.count >= WATCHES_MAX)
        return false;
    struct watched_run *run = get_run(watches, wish->run);
    struct subscription *subscription = xcalloc(1, sizeof *subscription);
    *subscription = (struct subscription){
        .key = wish->key,
        .ends_ms = now_ms + WATCH_LIFE_MS,
        .tasks = wish->tasks,
        .run = run,
        .next = run->subscriptions,
    };
    run->subscriptions = subscription;
    names_set(&watches->by_name, key_slice(&wish->key), (uintptr_t)subscription);
    struct arena arena = {0};
    struct announcement announcement;
    if (announce(watches, wish->run, &arena, &announcement))
        encode(watches, subscription, &announcement.body, first_frame);
    arena_fini(&arena);
    return true;
}

/* Notes which changes of the batch are watched. */
static void collect(struct watches *watches, const struct effects *effects)
{
    watches->touched = NULL;
    for (size_t i = 0; i < effects->change_count; i++) {
        struct watched_run *run = find_run(watches, effects->changes[i].run);
        if (run == NULL)
            continue;
        if (run->change_count == 0) {
            run->next_touched = watches->touched;
            watches->touched = run;
        }
        vector_reserve(&run->changes, run->change_count, &run->change_capacity);
        run->changes[run->change_count++] = (uint32_t)i;
    }
}

/* The task changes of a run; a list as long as there are changes. */
static struct task_change *list_changes(const struct watches *watches,
    const struct watched_run *run, struct effects *effects, uint32_t *ret_count)
{
    struct run_view view;
    *ret_count = 0;
    struct task_change *list =
        arena_alloc(&effects->arena, run->change_count * sizeof(struct task_change));
    if (!core_view_run(watches->core, run->run, &view))
        return list;
    for (size_t i = 0; i < run->change_count; i++) {
        const struct change_effect *change = &effects->changes[run->changes[i]];
        if (change->task == CHANGE_RUN)
            continue;
        list[(*ret_count)++] = (struct task_change){
            .task = plan_string(view.plan, view.plan->tasks[change->task].name),
            .state = change->state,
            .attempt = change->attempt,
            .worker = change->worker != 0 && watches->worker_name != NULL
                          ? watches->worker_name(watches->context, change->worker)
                          : slice_of(NULL),
            .reason = change->reason,
            .error = change->error,
            .at = change->at,
            .progress = change->progress,
            .progress_done = change->progress_done,
            .progress_total = change->progress_total,
        };
    }
    return list;
}

static void add_parcel(struct batch *batch, uint64_t peer, struct buffer *frame)
{
    vector_reserve(&batch->parcels, batch->parcel_count, &batch->parcel_capacity);
    batch->parcels[batch->parcel_count++] =
        (struct parcel){peer, arena_copy(&batch->effects->arena, buffer_slice(frame))};
    buffer_clear(frame);
}

static void tell(
    struct watches *watches, struct watched_run *run, struct batch *batch, struct buffer *frame)
{
    struct announcement announcement;
    if (!announce(watches, run->run, &batch->effects->arena, &announcement))
        return;
    struct msg_run_changed *body = &announcement.body;
    uint32_t count;
    struct task_change *changes = list_changes(watches, run, batch->effects, &count);
    for (struct subscription *one = run->subscriptions; one != NULL; one = one->next) {
        uint32_t done = 0;
        do {
            uint32_t rest = one->tasks ? count - done : 0;
            body->changes.items = changes + done;
            body->changes.count = rest < WATCH_CHANGES_MAX ? rest : WATCH_CHANGES_MAX;
            done += body->changes.count;
            encode(watches, one, body, frame);
            add_parcel(batch, one->key.peer, frame);
        } while (one->tasks && done < count);
    }
}

void watch_batch(struct watches *watches, struct batch *batch)
{
    if (watches->by_name.count == 0 || batch->effects->change_count == 0)
        return;
    struct buffer frame = {0};
    collect(watches, batch->effects);
    for (struct watched_run *run = watches->touched; run != NULL; run = run->next_touched) {
        tell(watches, run, batch, &frame);
        run->change_count = 0;
    }
    watches->touched = NULL;
    buffer_fini(&frame);
}

struct sweep {
    uint64_t now_ms;
    bool all;
    uint64_t peer; /* or 0: of any */
    struct subscription **over;
    size_t count, capacity;
};

static void note_over(void *context, struct slice key, uint64_t value)
{
    struct sweep *sweep = context;
    struct subscription *subscription = (struct subscription *)(uintptr_t)value;
    (void)key;
    bool chosen = sweep->peer != 0 ? subscription->key.peer == sweep->peer
                                   : sweep->all || subscription->ends_ms <= sweep->now_ms;
    if (!chosen)
        return;
    vector_reserve(&sweep->over, sweep->count, &sweep->capacity);
    sweep->over[sweep->count++] = subscription;
}

static void end_over(struct watches *watches, struct sweep *sweep)
{
    names_each(&watches->by_name, note_over, sweep);
    for (size_t i = 0; i < sweep->count; i++)
        end(watches, sweep->over[i]);
    free(sweep->over);
}

void watch_sweep(struct watches *watches, uint64_t now_ms)
{
    if (watches->by_name.count == 0 || now_ms < watches->swept_ms + SWEEP_EVERY_MS)
        return;
    watches->swept_ms = now_ms;
    end_over(watches, &(struct sweep){.now_ms = now_ms});
}

void watch_end_peer(struct watches *watches, uint64_t peer)
{
    end_over(watches, &(struct sweep){.peer = peer});
}

void watches_fini(struct watches *watches)
{
    end_over(watches, &(struct sweep){.all = true});
    assert(watches->by_run.count == 0);
    names_fini(&watches->by_name);
    table_fini(&watches->by_run);
}

size_t watch_count(const struct watches *watches)
{
    return watches->by_name.count;
}
