/*
 * How many facts of attempts a second the store makes durable: a run of TASKS tasks, each assigned
 * in one batch and ended in a later one, in random order as a DAG without layers gives them, or in
 * the order of their indices. bench_store [TASKS [FACTS_A_BATCH [random|sorted]]]
 */
#include "common/file.h"
#include "common/memory.h"
#include "master/store/store.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct bench {
    struct store *store;
    int woken;
    uint32_t tasks, batch_facts;
    uint32_t *order;
    bool sorted;
    double slowest_ms;
};

static double now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void wake(void *context)
{
    uint64_t one = 1;
    if (write(*(int *)context, &one, sizeof one) != sizeof one)
        abort();
}

static void fail(const struct error *error)
{
    (void)fprintf(stderr, "bench_store: %s\n", error->text);
    exit(1);
}

/* A batch that came back, or NULL when fewer are out than may be. */
static struct effects *take(struct bench *bench, uint32_t out_max)
{
    for (;;) {
        struct effects *batch = store_take_committed(bench->store);
        if (batch != NULL || store_in_flight(bench->store) < out_max)
            return batch;
        struct error error;
        if (store_state(bench->store, &error) != STORE_OK)
            fail(&error);
        double before = now_ms();
        uint64_t count;
        if (read(bench->woken, &count, sizeof count) != sizeof count)
            abort();
        double waited = now_ms() - before;
        if (waited > bench->slowest_ms)
            bench->slowest_ms = waited;
    }
}

static void add(struct effects *batch, uint32_t task, uint32_t state)
{
    struct attempt_row *row = &effects_add_fact(batch, FACT_ATTEMPT)->attempt;
    *row = (struct attempt_row){.id = {1, task, 0, 1},
        .state = state,
        .worker = 1,
        .session = 0x123456789abcdef0,
        .epoch = 1,
        .assigned_at = 1795400000000};
    if (state != ATTEMPT_ASSIGNED)
        row->started_at = row->ended_at = 1795400000500;
}

/* Half of each batch assigns, half ends what the batch two before assigned. */
static void run(struct bench *bench)
{
    uint32_t half = bench->batch_facts / 2;
    uint32_t assigned = 0, ended = 0;
    while (ended < bench->tasks) {
        struct effects *batch = take(bench, STORE_BATCHES_IN_FLIGHT);
        if (batch == NULL)
            batch = effects_create();
        effects_reset(batch);
        uint32_t may_end = assigned > 2 * half ? assigned - 2 * half : 0;
        if (assigned == bench->tasks)
            may_end = bench->tasks;
        for (uint32_t i = 0; i < half && assigned < bench->tasks; i++)
            add(batch, bench->order[assigned++], ATTEMPT_ASSIGNED);
        for (uint32_t i = 0; i < half && ended < may_end; i++)
            add(batch, bench->order[ended++], ATTEMPT_SUCCESS);
        store_commit(bench->store, batch);
    }
    while (store_in_flight(bench->store) > 0)
        effects_destroy(take(bench, 1));
}

static void submit(struct bench *bench)
{
    struct effects *batch = effects_create();
    effects_add_fact(batch, FACT_RUN)->run = (struct run_row){.key = 1,
        .order = 1,
        .dag = slice_of("bench"),
        .number = 1,
        .state = RUN_RUNNING,
        .task_count = bench->tasks};
    store_commit(bench->store, batch);
    effects_destroy(take(bench, 1));
}

static void shuffle(struct bench *bench)
{
    bench->order = xreallocarray(NULL, bench->tasks, sizeof *bench->order);
    uint64_t seed = 1;
    for (uint32_t i = 0; i < bench->tasks; i++) {
        bench->order[i] = i;
        if (bench->sorted)
            continue;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t other = (uint32_t)((seed >> 33) % (i + 1));
        bench->order[i] = bench->order[other];
        bench->order[other] = i;
    }
}

static int count_run(void *context, const struct store_run *row, struct error *error)
{
    (void)error;
    *(size_t *)context += row->attempt_count;
    return 0;
}

static void skip_dag(void *context, const struct dag_row *row)
{
    (void)context;
    (void)row;
}

static void skip_worker(void *context, const struct worker_row *row)
{
    (void)context;
    (void)row;
}

static void skip_session(void *context, const struct session_row *row)
{
    (void)context;
    (void)row;
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .tasks = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000,
        .batch_facts = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 4000,
        .woken = eventfd(0, EFD_CLOEXEC),
        .sorted = argc > 3 && strcmp(argv[3], "sorted") == 0,
    };
    char folder[64] = "/tmp/reeve-bench-XXXXXX";
    if (mkdtemp(folder) == NULL)
        return 1;
    struct error error = {0};
    struct store_identity identity;
    if (store_open(folder, wake, &bench.woken, &bench.store, &error) != 0 ||
        store_lead(bench.store, 1, 1, &identity, &error) != 0)
        fail(&error);
    shuffle(&bench);
    submit(&bench);
    bench.slowest_ms = 0;
    double begin = now_ms();
    run(&bench);
    double seconds = (now_ms() - begin) / 1e3;
    (void)printf(
        "attempt facts: %u in batches of %u, %.2f s, %.0f a second, longest wait %.0f ms\n",
        2 * bench.tasks, bench.batch_facts, seconds, 2 * bench.tasks / seconds, bench.slowest_ms);
    size_t loaded = 0;
    struct store_loader loader = {
        .context = &loaded,
        .dag = skip_dag,
        .worker = skip_worker,
        .session = skip_session,
        .run = count_run,
    };
    begin = now_ms();
    if (store_load(bench.store, &loader, &error) != 0)
        fail(&error);
    (void)printf("load of %zu attempts: %.0f ms\n", loaded, now_ms() - begin);
    store_close(bench.store);
    free(bench.order);
    (void)close(bench.woken);
    (void)file_remove_tree(folder, NULL);
    return 0;
}
