#include "worker/io/attempts_state.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "worker/io/attempt_name.h"
#include "worker/runner/core.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* ---- the table ---- */

struct work *work_find(const struct attempts *attempts, const struct attempt_id *id)
{
    uint64_t value;
    return names_get(&attempts->table, attempt_key(id), &value) ? (struct work *)(uintptr_t)value
                                                                : NULL;
}

struct work *work_create(struct attempts *attempts, const struct attempt_id *id)
{
    struct work *work = xcalloc(1, sizeof *work);
    work->attempts = attempts;
    work->id = *id;
    work->pipe = -1;
    work->next = attempts->first;
    if (attempts->first != NULL)
        attempts->first->previous = work;
    attempts->first = work;
    names_set(&attempts->table, attempt_key(id), (uintptr_t)work);
    return work;
}

static void order_free(struct order *order)
{
    if (order == NULL)
        return;
    for (size_t i = 0; i < 2; i++) {
        if (order->pipe[i] >= 0)
            (void)close(order->pipe[i]);
        if (order->channel[i] >= 0)
            (void)close(order->channel[i]);
    }
    buffer_wipe(&order->task_line);
    arena_fini(&order->arena);
    free(order);
}

static void close_pipe(struct work *work)
{
    if (work->pipe < 0)
        return;
    if (work->watched)
        loop_forget(work->attempts->config.loop, work->pipe);
    (void)close(work->pipe);
    work->pipe = -1;
    work->watched = false;
}

/* Frees what it is known by; files stay. */
static void work_free(struct work *work)
{
    struct attempts *attempts = work->attempts;
    assert(work->trees == NULL && work->collection == NULL);
    close_pipe(work);
    talk_destroy(work->talk);
    order_free(work->order);
    *(work->previous != NULL ? &work->previous->next : &attempts->first) = work->next;
    if (work->next != NULL)
        work->next->previous = work->previous;
    (void)names_remove(&attempts->table, attempt_key(&work->id));
    free(work);
}

struct attempts *attempts_create(const struct attempts_config *config)
{
    struct attempts *attempts = xcalloc(1, sizeof *attempts);
    attempts->config = *config;
    attempts->talk = (struct talk_config){
        .loop = config->loop,
        .folder = config->folder->said,
        .events = {config->events.note, config->events.progress, config->events.breach,
            config->events.context},
    };
    secrets_init(&attempts->secrets, config->key);
    return attempts;
}

/* ---- the pipe ---- */

static bool open_stream(struct work *work, struct error *error)
{
    struct attempts *attempts = work->attempts;
    struct spool spool;
    if (work->stream != NULL)
        return true;
    if (spool_open(&spool, attempts->config.folder->spool, &work->id, error) != 0)
        return false;
    spool_set_limit(&spool, work->log_limit);
    work->stream =
        ship_add(attempts->config.ship, &work->id, &spool, work->begun || spool.length > 0);
    return true;
}

static void set_full(struct attempts *attempts, bool full)
{
    if (attempts->full == full)
        return;
    attempts->full = full;
    if (!full)
        log_info("the disk has room again");
    attempts->config.events.disk(attempts->config.events.context, full);
}

/* What is in the pipe is only lost when it is taken: it waits there, also while the disk is broken.
 */
static void block(struct work *work, const struct error *error)
{
    if (!work->attempts->full)
        log_error("logs wait in their pipes: %s", error->text);
    if (work->watched)
        loop_forget(work->attempts->config.loop, work->pipe);
    work->watched = false;
    work->blocked = true;
    set_full(work->attempts, true);
}

/* As spool_take, and blocks the pipe when it fails. */
static int take(struct work *work)
{
    struct error error = {0};
    if (!open_stream(work, &error)) {
        block(work, &error);
        return error.code;
    }
    struct spool *spool = stream_spool(work->stream);
    uint64_t before = spool->length;
    int moved = spool_take(spool, work->pipe, clock_boot_ms(), &error);
    if (spool->length > before)
        ship_grown(work->attempts->config.ship, work->stream);
    if (moved < 0)
        block(work, &error);
    return moved;
}

static void on_pipe(void *context, int fd, uint32_t events)
{
    struct work *work = context;
    (void)fd;
    /* Only a hang-up: nothing is in it and nobody can write any more. */
    int moved = (events & EPOLLIN) != 0 ? take(work) : SPOOL_END;
    if (moved == SPOOL_END)
        close_pipe(work);
}

/* Watches the pipe for what the attempt writes. */
static void work_watch(struct work *work)
{
    struct error error = {0};
    if (work->pipe < 0 || work->watched || work->blocked)
        return;
    if (loop_watch(work->attempts->config.loop, work->pipe, EPOLLIN, on_pipe, work, &error) == 0)
        work->watched = true;
    else
        log_error("a task's log is only read at its end: %s", error.text);
}

bool work_drain(struct work *work)
{
    int moved = work->pipe >= 0 ? SPOOL_MORE : SPOOL_END;
    while (moved == SPOOL_MORE)
        moved = take(work);
    if (moved < 0)
        return false;
    close_pipe(work);
    return true;
}

/* ---- what the core asks ---- */

uint32_t attempts_start(
    struct attempts *attempts, struct msg_runner_start *start, int ret_fds[START_FDS_MAX])
{
    struct work *work = work_find(attempts, &start->id);
    if (work == NULL || work->order == NULL)
        return 0;
    struct order *order = work->order;
    stop_here(STOP_PREPARED);
    start->arguments = order->command.arguments;
    start->env = order->command.env;
    start->folder = order->place.files;
    start->secrets = order->secrets;
    if (order->user != NULL) {
        start->other_user = true;
        start->uid = order->user->uid;
        start->gid = order->user->gid;
        start->groups = slice_make((const char *)order->user->groups,
            (size_t)order->user->group_count * sizeof *order->user->groups);
    }
    /* The sender gives away what it is given, and this side needs the read end itself. */
    work->pipe = fcntl(order->pipe[0], F_DUPFD_CLOEXEC, 0);
    for (size_t i = 0; i < 2; i++) {
        ret_fds[i] = order->pipe[i];
        ret_fds[i + 2] = order->channel[i];
        order->pipe[i] = -1;
        order->channel[i] = -1;
    }
    start->operator= work->talk != NULL;
    return work->talk != NULL ? 4 : 2;
}

void attempts_started(struct attempts *attempts, const struct attempt_id *id)
{
    struct work *work = work_find(attempts, id);
    order_free(work->order);
    work->order = NULL;
    work_watch(work);
    if (work->talk != NULL)
        talk_listen(work->talk);
}

void attempts_adopt(struct attempts *attempts, const struct attempt_id *id, int pipe, int channel)
{
    struct error error = {0};
    if (work_find(attempts, id) != NULL) {
        if (pipe >= 0)
            (void)close(pipe);
        if (channel >= 0)
            (void)close(channel);
        return;
    }
    struct work *work = work_create(attempts, id);
    work->pipe = pipe;
    if (channel >= 0)
        work->talk = talk_create(&attempts->talk, id, channel, 0);
    work->begun = true;
    if (!open_stream(work, &error))
        log_warn("%s", error.text);
    work_watch(work);
}

void attempts_listen(struct attempts *attempts, const struct attempt_id *id)
{
    struct work *work = work_find(attempts, id);
    if (work != NULL && work->talk != NULL && work->collection == NULL)
        talk_listen(work->talk);
}

void attempts_noted(struct attempts *attempts, const struct msg_noted *noted)
{
    struct work *work = work_find(attempts, &noted->id);
    if (work != NULL && work->talk != NULL && work->collection == NULL)
        talk_answer(work->talk, noted);
}

uint64_t attempts_due_ms(const struct attempts *attempts)
{
    uint64_t due = UINT64_MAX;
    for (const struct work *work = attempts->first; work != NULL; work = work->next) {
        if (work->talk != NULL && work->collection == NULL && talk_due_ms(work->talk) < due)
            due = talk_due_ms(work->talk);
    }
    return due;
}

void attempts_expire(struct attempts *attempts, uint64_t now_ms)
{
    for (struct work *work = attempts->first; work != NULL; work = work->next) {
        if (work->talk != NULL && work->collection == NULL)
            talk_expire(work->talk, now_ms);
    }
}

void work_abandon(struct work *work)
{
    if (!work->mute)
        talk_forget(work->attempts->config.folder->said, &work->id);
    secrets_remove(&work->attempts->secrets, &work->id);
    work_folder_remove(work);
    work_free(work);
}

static void cancelled(void *context, const struct error *error)
{
    struct work *work = context;
    (void)error;
    work->trees = NULL;
    work_abandon(work);
}

void attempts_discard(struct attempts *attempts, const struct attempt_id *id)
{
    struct work *work = work_find(attempts, id);
    if (work == NULL)
        return;
    close_pipe(work);
    if (work->stream != NULL)
        ship_drop(attempts->config.ship, work->stream);
    work->stream = NULL;
    if (work->trees != NULL)
        trees_cancel(work->trees, cancelled);
    else if (work->giving)
        work->unwanted = true;
    else
        work_abandon(work);
}

void attempts_drop(struct attempts *attempts, const struct attempt_id *id)
{
    struct work *work = work_find(attempts, id);
    if (work == NULL)
        return;
    /* Taken over from an earlier agent that had collected it already. */
    if (work->stream != NULL && work_drain(work))
        (void)ship_end(attempts->config.ship, work->stream);
    work->stream = NULL;
    work_abandon(work);
}

/* ---- disk space ---- */

static const uint64_t ROOM_FIRST_BYTES = 4 << 20, ROOM_MOST_BYTES = (uint64_t)4 << 30;

bool attempts_is_full(const struct attempts *attempts)
{
    return attempts->full;
}

/* How much it wanted is not known: each time more is waited for, so that one that wants more than
 * there is does not come again each second. */
void attempts_lack_room(struct attempts *attempts, const struct error *error)
{
    if (attempts->no_room)
        return;
    log_error("no more tasks are taken: %s", error->text);
    attempts->no_room = true;
    attempts->room_wanted =
        attempts->room_wanted == 0 ? ROOM_FIRST_BYTES : attempts->room_wanted * 2;
    if (attempts->room_wanted > ROOM_MOST_BYTES)
        attempts->room_wanted = ROOM_MOST_BYTES;
    set_full(attempts, true);
}

void attempts_retry(struct attempts *attempts)
{
    attempts->no_room = attempts->no_room && !work_folder_has_room(attempts, attempts->room_wanted);
    bool full = attempts->no_room;
    for (struct work *work = attempts->first, *next; work != NULL; work = next) {
        next = work->next;
        if (!work->blocked)
            continue;
        work->blocked = false;
        if (work->collection != NULL)
            collection_retry(work);
        else if (take(work) >= 0)
            work_watch(work);
        full = full || work->blocked;
    }
    set_full(attempts, full);
}

/* ---- after a restart ---- */

static void ship_left(struct attempts *attempts, const struct attempt_id *id)
{
    struct error error = {0};
    struct spool spool;
    if (spool_open(&spool, attempts->config.folder->spool, id, &error) != 0) {
        log_warn("%s", error.text);
        return;
    }
    struct ship *ship = attempts->config.ship;
    (void)ship_end(ship, ship_add(ship, id, &spool, true));
}

/* Calls `visit` for each attempt in the folder that is not known here. */
static void each_unknown(struct attempts *attempts, const char *folder,
    void (*visit)(struct attempts *attempts, const struct attempt_id *id, const char *name))
{
    DIR *stream = opendir(folder);
    struct attempt_id id;
    if (stream == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (attempt_name_parse(entry->d_name, &id) && work_find(attempts, &id) == NULL)
            visit(attempts, &id, entry->d_name);
    }
    (void)closedir(stream);
}

static void visit_spool(struct attempts *attempts, const struct attempt_id *id, const char *name)
{
    (void)name;
    ship_left(attempts, id);
}

static void visit_folder(struct attempts *attempts, const struct attempt_id *id, const char *name)
{
    (void)id;
    work_folder_remove_later(attempts, name);
}

static void visit_said(struct attempts *attempts, const struct attempt_id *id, const char *name)
{
    (void)name;
    talk_forget(attempts->config.folder->said, id);
}

static bool is_known(void *context, const struct attempt_id *id)
{
    return work_find(context, id) != NULL;
}

void attempts_clean(struct attempts *attempts)
{
    each_unknown(attempts, attempts->config.folder->said, visit_said);
    each_unknown(attempts, attempts->config.folder->spool, visit_spool);
    each_unknown(attempts, attempts->config.folder->work, visit_folder);
    secrets_clean(&attempts->secrets, is_known, attempts);
}

void attempts_destroy(struct attempts *attempts)
{
    if (attempts == NULL)
        return;
    while (attempts->first != NULL) {
        struct work *work = attempts->first;
        /* It was not freed: work_free takes what it frees out of the list.
         * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        assert(work->previous == NULL);
        work->trees = NULL;
        collection_free(work);
        work_free(work);
    }
    work_folders_fini(attempts);
    secrets_fini(&attempts->secrets);
    names_fini(&attempts->table);
    free(attempts);
}
