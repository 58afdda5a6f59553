/*
 * People: they submit, and ask again until they are answered; they cancel, retry and mark; they
 * drain workers, and undrain them again; they let hosts join, and remove them.
 */
#include "tests/sim/checker.h"

enum { GIVE_UP_MS = 60000, VISIT_MS = 20000 };

static const uint32_t marks[] = {TASK_SUCCESS, TASK_SKIPPED, TASK_FAILED};

/* A wish that is recorded, and its master dies before anybody has heard of it. */
static void crash_with_it(struct world *world, const struct happening *happening)
{
    (void)happening;
    if (world_is_bad(world))
        master_crash(world);
}

static void strike_at(struct world *world)
{
    enum { DEAF_MS = 8000 };
    if (!world_is_bad(world))
        return;
    tell(world, "nobody hears the master for a while");
    for (uint32_t i = 0; i < world->host_count; i++)
        world->hosts[i].cut_down_until = world->now_ms + DEAF_MS;
    (void)plan_ahead(world, 50 + draw_below(world, DICE_PEOPLE, DEAF_MS), crash_with_it);
}

/* A live attempt that the master may have no word of, and its worker's host. */
static bool is_unheard(const struct world *world, struct attempt_id *id, uint32_t *ret_host)
{
    const struct core *core = world->master.core;
    struct worker_view worker;
    struct task_view view;
    if (core == NULL || id->run == 0 || !core_view_task(core, id->run, id->task, &view) ||
        !view.live || (view.state != TASK_UNREACHABLE && view.state != TASK_CANCELLING) ||
        !core_view_worker(core, view.worker - 1, world->now_ms, &worker))
        return false;
    id->attempt = view.attempt;
    *ret_host = (unsigned char)worker.key.ptr[0] - 1U;
    return true;
}

/* Whether something of this worker is there that the master may have no word of. */
static bool is_there_unheard(const struct world *world, uint32_t host)
{
    uint32_t of = 0;
    for (uint32_t run = 0; run < world->run_count; run++) {
        for (uint32_t task = 0; task < world->runs[run].task_count; task++) {
            struct attempt_id id = {.run = world->runs[run].key, .task = task};
            if (is_unheard(world, &id, &of) && of == host && process_exists(world, &id))
                return true;
        }
    }
    return world->master.core == NULL;
}

/* What is not true is not said. */
static bool may_say_lost(const struct world *world, const struct asked *asked)
{
    return asked->only ? !is_there_unheard(world, asked->run) : host_is_down(world, asked->run);
}

static void ask(struct world *world, const struct happening *happening)
{
    struct asked *asked = &world->asked[happening->number];
    if (asked->kind == EVENT_LOST_WORKER && !may_say_lost(world, asked))
        asked->answered = true;
    if (asked->answered)
        return;
    if (joins_may_ask(world, asked))
        master_request(world, asked);
    if (asked->kind == EVENT_CANCEL && draw_percent(world, DICE_PEOPLE, 25))
        strike_at(world);
    plan_ahead(world, 1000 + draw_below(world, DICE_PEOPLE, 1000), ask)->number = happening->number;
}

void client_plan(struct world *world, uint64_t after_ms, struct asked asked)
{
    if (world->asked_count == REQUESTS_MAX)
        return;
    asked.request = draw(world, DICE_PEOPLE) | 1;
    world->asked[world->asked_count] = asked;
    plan_ahead(world, after_ms, ask)->number = world->asked_count++;
}

void client_write_off(struct world *world, uint32_t host, uint64_t dice)
{
    if (dice % 2 == 0)
        client_plan(world, dice % 8000, (struct asked){.kind = EVENT_LOST_WORKER, .run = host});
}

static void plan_change(struct world *world, uint32_t run, uint64_t after_ms)
{
    static const enum event_kind kinds[] = {EVENT_CANCEL, EVENT_RETRY, EVENT_RETRY, EVENT_MARK};
    struct asked asked = {.run = run, .kind = kinds[draw_below(world, DICE_PEOPLE, 4)]};
    uint32_t task = draw_below(world, DICE_PEOPLE, world->runs[run].task_count);
    asked.task = asked.kind == EVENT_MARK || draw_percent(world, DICE_PEOPLE, 50) ? task : TASK_ALL;
    asked.state = marks[draw_below(world, DICE_PEOPLE, 3)];
    asked.only = draw_percent(world, DICE_PEOPLE, 20);
    after_ms += draw_below(world, DICE_PEOPLE, 200000);
    if (is_kept(world))
        client_plan(world, after_ms, asked);
}

/* The second wish follows upon the first, so that no worker drains for ever. */
static void plan_drain(struct world *world, uint32_t host, bool undo)
{
    struct asked asked = {.kind = EVENT_DRAIN, .run = host, .only = undo};
    client_plan(world, draw_below(world, DICE_PEOPLE, undo ? 60000 : 200000), asked);
}

/* ---- what waits for a person ---- */

static bool is_asked(const struct world *world, uint32_t run, uint32_t task)
{
    for (uint32_t i = 0; i < world->asked_count; i++) {
        const struct asked *asked = &world->asked[i];
        bool about = asked->kind == EVENT_RETRY || asked->kind == EVENT_MARK;
        if (about && asked->run == run && asked->task == task && !asked->answered)
            return true;
    }
    return false;
}

/* What has no lease is not given up by the clock: somebody says of what is not there that it is
 * gone. */
static void visit_unleased(struct world *world, uint32_t run, uint32_t task)
{
    struct attempt_id id = {.run = world->runs[run].key, .task = task};
    struct asked asked = {.kind = EVENT_LOST_WORKER, .only = true};
    if (!world->runs[run].tasks[task].unleased || !is_unheard(world, &id, &asked.run) ||
        process_exists(world, &id))
        return;
    for (uint32_t i = 0; i < world->asked_count; i++) {
        if (world->asked[i].kind == asked.kind && world->asked[i].run == asked.run &&
            !world->asked[i].answered)
            return;
    }
    client_plan(world, VISIT_MS + draw_below(world, DICE_LEASES, VISIT_MS), asked);
}

/* Somebody looks at what is held, and says what becomes of it. */
static void visit(struct world *world, const struct happening *happening)
{
    uint32_t run = (uint32_t)happening->number;
    struct task_view view;
    plan_ahead(world, VISIT_MS, visit)->number = run;
    for (uint32_t task = 0; world->has_unleased && task < world->runs[run].task_count; task++)
        visit_unleased(world, run, task);
    for (uint32_t task = 0; task < world->runs[run].task_count; task++) {
        if (world->master.core == NULL ||
            !core_view_task(world->master.core, world->runs[run].key, task, &view) ||
            view.state != TASK_HELD || is_asked(world, run, task))
            continue;
        struct asked asked = {.run = run, .task = task, .kind = EVENT_RETRY};
        if (draw_percent(world, DICE_PEOPLE, 30)) {
            asked.kind = EVENT_MARK;
            asked.state = marks[draw_below(world, DICE_PEOPLE, 3)];
        }
        client_plan(world, draw_below(world, DICE_PEOPLE, VISIT_MS), asked);
    }
}

static bool may_need_somebody(const struct sim_run *run)
{
    for (uint32_t task = 0; task < run->task_count; task++) {
        if (run->tasks[task].on_lost == ON_LOST_HOLD || run->tasks[task].unleased)
            return true;
    }
    return false;
}

/* ---- what is asked ---- */

static void plan_run(struct world *world, uint64_t at_ms, uint32_t changes)
{
    uint32_t number = world->run_count;
    workload_make(world, &world->runs[number], number);
    world->run_count++;
    client_plan(world, at_ms, (struct asked){.kind = EVENT_SUBMIT, .run = number});
    for (uint32_t c = 0; c < changes; c++)
        plan_change(world, number, at_ms);
    if (may_need_somebody(&world->runs[number]))
        plan_ahead(world, VISIT_MS, visit)->number = number;
}

/* What hangs for ever is cancelled in the end, and again should it have begun anew: but once, for
 * then it is reeve's to see to it. */
static void give_up(struct world *world, const struct happening *happening)
{
    (void)happening;
    checker_cancels(world);
    for (uint32_t i = 0; i < world->run_count; i++) {
        if (!world->runs[i].acknowledged || !process_hangs(world, world->runs[i].key))
            continue;
        tell(world, "somebody gives run %u up", i);
        client_plan(world, 0, (struct asked){.kind = EVENT_CANCEL, .run = i, .task = TASK_ALL});
    }
    (void)plan_ahead(world, GIVE_UP_MS, give_up);
}

void clients_start(struct world *world)
{
    joins_plan(world);
    /* Not where hosts come and go by tokens: whether a removed one still runs something is another
     * matter. */
    world->has_unleased = draw_percent(world, DICE_LEASES, 20) && world->joins_wanted == 0;
    for (uint32_t i = 0; i < world->host_count; i++) {
        if (draw_percent(world, DICE_PEOPLE, 20) && is_kept(world))
            plan_drain(world, i, false);
    }
    uint32_t wanted = world->scale.full ? world->scale.runs
                                        : 1 + draw_below(world, DICE_PEOPLE, world->scale.runs);
    bool rain = draw_percent(world, DICE_PEOPLE, 15);
    for (uint32_t i = 0; i < wanted; i++) {
        uint64_t at_ms = draw_below(world, DICE_PEOPLE, rain ? 150000 : 60000);
        uint32_t most = draw_percent(world, DICE_PEOPLE, 50) ? rain ? 12 : 4 : 1;
        uint32_t changes = draw_below(world, DICE_PEOPLE, most);
        plan_run(world, at_ms, changes);
    }
    (void)plan_ahead(world, FAULTS_MAX_MS + GIVE_UP_MS, give_up);
}

static struct asked *find(struct world *world, uint64_t request)
{
    for (uint32_t i = 0; i < world->asked_count; i++) {
        if (world->asked[i].request == request)
            return &world->asked[i];
    }
    violated(world, "an answer to nobody");
}

/* A lost answer is asked for again. */
void client_answer(struct world *world, uint64_t request, struct slice message)
{
    struct asked *asked = find(world, request);
    if (world_is_bad(world) && draw_percent(world, DICE_PEOPLE, world->faults.loss_percent))
        return;
    struct buffer bytes = {0};
    struct frame_header header = {.version = PROTOCOL_VERSION};
    struct arena arena = {0};
    struct frame_reader reader;
    struct message answer;
    frame_begin(&bytes, &header);
    buffer_append_slice(&bytes, message);
    if (frame_open(buffer_slice(&bytes), &arena, &reader, NULL) != 0 ||
        frame_next(&reader, &answer, NULL) != 1)
        violated(world, "an answer that cannot be read");
    bool before = asked->answered;
    /* A change of a run or a worker that is not there yet is asked again. */
    bool early = answer.number == MESSAGE_refused && asked->kind != EVENT_SUBMIT &&
                 ((const struct msg_refused *)answer.body)->code == ERR_NOT_FOUND &&
                 world_is_bad(world);
    if (asked->kind == EVENT_SUBMIT) {
        if (answer.number != MESSAGE_submitted)
            violated(world, "a submit was refused");
        world->runs[asked->run].acknowledged = true;
    }
    asked->answered = !early;
    if (!before && !early && (asked->kind == EVENT_CREATE_TOKEN || asked->kind == EVENT_JOIN))
        asked->answered = joins_answered(world, asked, &answer);
    /* However often it was refused before, and heard of that only now. */
    bool done = answer.number == MESSAGE_done && !asked->followed;
    asked->followed = asked->followed || done;
    if (done && asked->kind == EVENT_DRAIN && !asked->only)
        plan_drain(world, asked->run, true);
    if (done && asked->kind == EVENT_REMOVE_WORKER)
        joins_removed(world, asked->run);
    tell(world, "request %llx is answered by %s", (unsigned long long)request,
        message_name(answer.number));
    arena_fini(&arena);
    buffer_fini(&bytes);
}
