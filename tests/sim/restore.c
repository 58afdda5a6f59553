/*
 * An older store is restored: for a while a master leads from it, which the fleet must not follow,
 * and people do not ask it anything. By mistake: then the newer one is put back, and nothing that
 * the older one recorded counts. Or for good, because the newer one is lost: then a person accepts
 * it (reeve-master --accept-restore), and what came after the copy does not count any more.
 */
#include "common/memory.h"
#include "master/store/store.h"
#include "tests/sim/checker.h"

enum { RESTORED_PERCENT = 25, FOR_GOOD_PERCENT = 60, UNTIL_MS = 40000 };

static void put_back(struct world *world, const struct happening *happening)
{
    (void)happening;
    struct restore *restore = &world->restore;
    if (!restore->reigns)
        return;
    tell(world, "the newer store is put back");
    master_end(world);
    rows_fini(&world->master.rows);
    world->master.rows = restore->newer;
    restore->newer = (struct rows){0};
    restore->reigns = false;
    master_start(world);
}

/* As the store has it: store_accept_restore. */
static void accept(struct world *world, const struct happening *happening)
{
    (void)happening;
    struct rows *rows = &world->master.rows;
    tell(world, "a person accepts the older store");
    master_end(world);
    rows->epoch += STORE_RESTORE_GAP;
    rows->attempts_from += STORE_RESTORE_GAP;
    for (size_t i = 0; i < rows->dag_count; i++)
        rows->dags[i].last_number += STORE_RESTORE_GAP;
    rows->restored_order = rows_last_order(rows);
    rows->restoring = true;
    world->restore.reigns = false;
    world->restore.for_good = false;
    master_start(world);
}

/* Nobody remembers that he had taken a drain back. */
static void undrain(struct world *world)
{
    const struct rows *rows = &world->master.rows;
    for (size_t i = 0; i < rows->worker_count; i++) {
        struct asked asked = {
            .kind = EVENT_DRAIN, .run = rows->workers[i].key[0] - 1U, .only = true};
        if (rows->workers[i].draining)
            client_plan(world, draw_below(world, DICE_FAULTS, UNTIL_MS), asked);
    }
}

/* Where hosts come and go by tokens, who of them the older store knows is another matter; and what
 * has no lease cannot be waited out. */
static bool is_for_good(struct world *world)
{
    return world->joins_wanted == 0 && !world->has_unleased &&
           draw_percent(world, DICE_FAULTS, FOR_GOOD_PERCENT);
}

static void restore_older(struct world *world, const struct happening *happening)
{
    (void)happening;
    struct restore *restore = &world->restore;
    /* Of one that is no older the fleet could not tell. */
    if (!world_is_bad(world) || restore->older.epoch == 0 ||
        world->master.rows.epoch <= restore->older.epoch)
        return;
    tell(world, "an older store is restored: its last epoch is %llu, the newer one's %llu",
        (unsigned long long)restore->older.epoch, (unsigned long long)world->master.rows.epoch);
    master_end(world);
    restore->newer = world->master.rows;
    world->master.rows = restore->older;
    restore->older = (struct rows){0};
    restore->reigns = true;
    restore->ever = true;
    restore->for_good = is_for_good(world);
    if (restore->for_good) {
        checker_go_back(world);
        undrain(world);
    }
    master_start(world);
    uint64_t after_ms = draw_below(world, DICE_FAULTS, UNTIL_MS);
    (void)plan_ahead(world, 5000 + after_ms, restore->for_good ? accept : put_back);
}

static void back_up(struct world *world, const struct happening *happening)
{
    (void)happening;
    if (world->restore.older.epoch != 0)
        return;
    tell(world, "somebody copies the store");
    rows_copy(&world->restore.older, &world->master.rows);
    checker_keep(world);
    (void)plan_ahead(world, 10000 + draw_below(world, DICE_FAULTS, 2 * UNTIL_MS), restore_older);
}

void restore_begin(struct world *world)
{
    bool wanted = draw_percent(world, DICE_FAULTS, RESTORED_PERCENT);
    uint32_t at_ms = 5000 + draw_below(world, DICE_FAULTS, UNTIL_MS);
    if (wanted && world->faults.end_ms != 0 && is_kept(world))
        (void)plan_ahead(world, at_ms, back_up);
}

void restore_fini(struct world *world)
{
    rows_fini(&world->restore.older);
    rows_fini(&world->restore.newer);
}

bool restore_may_start(const struct world *world)
{
    const struct restore *restore = &world->restore;
    return !restore->reigns || world->master.rows.epoch < restore->newer.epoch;
}

bool restore_drops(const struct world *world, const struct host *host)
{
    return world->restore.reigns && !world->restore.heard &&
           host->follows < world->master.rows.epoch;
}

void restore_see_frame(struct world *world, const struct host *host, struct slice frame)
{
    struct frame_reader reader;
    struct message message;
    if (!world->restore.reigns || world->restore.heard || host->remote)
        return;
    arena_reset(&world->scratch);
    if (frame_open(arena_copy(&world->scratch, frame), &world->scratch, &reader, NULL) != 0 ||
        frame_next(&reader, &message, NULL) != 1 || message.number != MESSAGE_register)
        return;
    const struct msg_register *registers = message.body;
    if (reader.header.epoch <= world->master.rows.epoch || registers->cluster.length == 0)
        return;
    tell(world, "the older store's master hears of a higher epoch");
    world->restore.heard = true;
}
