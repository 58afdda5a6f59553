/*
 * Limits of memory and cpus: what is written into a cgroup and read from it (a folder of plain
 * files plays it), what is chosen, and what real processes find.
 */
#include "runner_stage.h"
#include "worker/runner/bounds.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1024ull * 1024)

/* ---- a folder that plays a cgroup ---- */

struct folder {
    char path[32];
    int fd;
};

static void put(const struct folder *folder, const char *file, const char *text)
{
    int fd = openat(folder->fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

static void assert_file(const struct folder *folder, const char *file, const char *wanted)
{
    char text[64];
    int fd = openat(folder->fd, file, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t length = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[length > 0 ? length : 0] = '\0';
    assert_string_equal(text, wanted);
}

static int make_folder(void **state)
{
    struct folder *folder = calloc(1, sizeof *folder);
    (void)snprintf(folder->path, sizeof folder->path, "/tmp/reeve-XXXXXX");
    if (mkdtemp(folder->path) == NULL)
        return -1;
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = folder;
    return 0;
}

static int remove_folder(void **state)
{
    static const char *const files[] = {"memory.max", "memory.swap.max", "memory.oom.group",
        "cpu.max", "memory.events", "memory.peak", "memory.oom_control", "memory.limit_in_bytes",
        "memory.max_usage_in_bytes"};
    struct folder *folder = *state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        (void)unlinkat(folder->fd, files[i], 0);
    (void)close(folder->fd);
    (void)rmdir(folder->path);
    free(folder);
    return 0;
}

static void cgroup_gets_both_limits_and_no_swap(void **state)
{
    const struct folder *folder = *state;
    struct cgroup cgroup = {.fd = folder->fd};
    put(folder, "memory.max", "");
    put(folder, "memory.swap.max", "");
    put(folder, "memory.oom.group", "");
    put(folder, "cpu.max", "");
    assert_int_equal(cgroup_limit(&cgroup, 64 * MIB, 1500), 0);
    assert_file(folder, "memory.max", "67108864");
    assert_file(folder, "memory.swap.max", "0");
    assert_file(folder, "memory.oom.group", "1");
    assert_file(folder, "cpu.max", "150000 100000");
    assert_true(cgroup.limited);
}

static void cgroup_without_swap_bounds_memory_all_the_same(void **state)
{
    const struct folder *folder = *state;
    struct cgroup cgroup = {.fd = folder->fd};
    put(folder, "memory.max", "");
    assert_int_equal(cgroup_limit(&cgroup, 4 * MIB, 0), 0);
    assert_file(folder, "memory.max", "4194304");
}

static void cgroup_that_cannot_bound_says_so(void **state)
{
    const struct folder *folder = *state;
    struct cgroup cgroup = {.fd = folder->fd};
    assert_int_equal(cgroup_limit(&cgroup, 4 * MIB, 0), ENOENT);
    assert_int_equal(cgroup_limit(&cgroup, 0, 500), ENOENT);
}

static void memory_of_the_machine_is_told_from_the_limit(void **state)
{
    const struct folder *folder = *state;
    struct cgroup cgroup = {.fd = folder->fd, .oom_kills = 1, .limited = true};
    put(folder, "memory.peak", "67108864\n");
    put(folder, "memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 3\n");
    struct memory_end end = cgroup_memory_end(&cgroup);
    assert_true(end.known && end.killed && end.by_limit);
    assert_int_equal(end.peak_bytes, 64 * MIB);
    put(folder, "memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 3\n");
    end = cgroup_memory_end(&cgroup);
    assert_true(end.known && end.killed && !end.by_limit);
    put(folder, "memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n");
    end = cgroup_memory_end(&cgroup);
    assert_true(end.known && !end.killed && !end.by_limit);
    cgroup.oom_kills = -1;
    assert_false(cgroup_memory_end(&cgroup).known);
}

static void memory_of_version_1_is_told_by_its_peak(void **state)
{
    const struct folder *folder = *state;
    assert_false(cgroup_v1_memory_end(folder->fd).known);
    put(folder, "memory.limit_in_bytes", "67108864\n");
    put(folder, "memory.max_usage_in_bytes", "67108864\n");
    put(folder, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
    struct memory_end end = cgroup_v1_memory_end(folder->fd);
    assert_true(end.known && end.killed && end.by_limit);
    assert_int_equal(end.peak_bytes, 64 * MIB);
    put(folder, "memory.max_usage_in_bytes", "1048576\n");
    end = cgroup_v1_memory_end(folder->fd);
    assert_true(end.killed && !end.by_limit);
}

/* ---- the choice ---- */

static void means_are_named_as_they_are_chosen(void **state)
{
    (void)state;
    struct bounds bounds = {.v1 = {-1, -1}};
    assert_string_equal(bounds_words(&bounds).memory_by, "rlimit");
    assert_string_equal(bounds_words(&bounds).cpu_by, "affinity");
    bounds.v1[CGROUP_V1_MEMORY] = 5;
    assert_string_equal(bounds_words(&bounds).memory_by, "cgroup-v1");
    bounds.memory_v2 = true;
    bounds.v1[CGROUP_V1_CPU] = 5;
    assert_string_equal(bounds_words(&bounds).memory_by, "cgroup");
    assert_string_equal(bounds_words(&bounds).cpu_by, "cgroup-v1");
    bounds.cpu_v2 = true;
    assert_string_equal(bounds_words(&bounds).cpu_by, "cgroup");
}

static void task_that_lacks_its_cgroup_is_not_run_unbounded(void **state)
{
    (void)state;
    struct bounds bounds = {.v1 = {-1, -1}, .memory_v2 = true};
    struct bound bound;
    struct spawn_order order = {.limits = {.memory_bytes = 64 * MIB}};
    struct spawn_failure failure = {.reason = REASON_NONE};
    assert_false(bound_begin(&bounds, NULL, &bound, &order, &failure));
    assert_int_equal(failure.reason, REASON_WORKER_ERROR);
    assert_string_equal(failure.text, "cannot limit its memory here: No space left on device");
    bound_end(&bounds, &bound);
    order.limits = (struct spawn_limits){0};
    assert_true(bound_begin(&bounds, NULL, &bound, &order, &failure));
    bound_end(&bounds, &bound);
}

static void processors_are_those_that_the_fewest_have(void **state)
{
    (void)state;
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    if (CPU_COUNT(&allowed) < 2)
        skip();
    struct bounds bounds = {.v1 = {-1, -1}};
    struct bound bound[3];
    struct spawn_failure failure = {.reason = REASON_NONE};
    struct spawn_order first = {.limits = {.cpu_permille = 1000}};
    struct spawn_order second = {.limits = {.cpu_permille = 300, .memory_bytes = 4 * MIB}};
    struct spawn_order all = {.limits = {.cpu_permille = 1024000}};
    assert_true(bound_begin(&bounds, NULL, &bound[0], &first, &failure));
    assert_true(bound_begin(&bounds, NULL, &bound[1], &second, &failure));
    assert_true(bound_begin(&bounds, NULL, &bound[2], &all, &failure));
    assert_int_equal(CPU_COUNT(first.processors), 1);
    assert_int_equal(CPU_COUNT(second.processors), 1);
    assert_false(CPU_EQUAL(first.processors, second.processors));
    assert_int_equal(second.data_bytes, 4 * MIB);
    assert_null(all.processors);
    for (size_t i = 0; i < 3; i++)
        bound_end(&bounds, &bound[i]);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        assert_int_equal(bounds.pinned[cpu], 0);
}

/* ---- real processes ---- */

static int start_limited(
    struct agent *agent, struct attempt_id id, struct spawn_limits limits, const char *script)
{
    struct slice arguments[] = {slice_of("bash"), slice_of("-c"), slice_of(script)};
    struct msg_runner_start start = {
        .id = id, .memory_bytes = limits.memory_bytes, .cpu_permille = limits.cpu_permille};
    return start_with(agent, &start, arguments, 3);
}

static void without_cgroups_each_process_is_bounded(void **state)
{
    struct agent *agent = *state;
    const struct spawn_limits limits = {.memory_bytes = 64 * MIB, .cpu_permille = 200};
    int fd = start_limited(agent, A, limits, "ulimit -Sd; bash -c 'ulimit -Hd'; nproc");
    assert_line(fd, "65536");
    assert_line(fd, "65536");
    assert_line(fd, "1");
    (void)close(fd);
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->exit_code, 0);
    fd = start_bash(agent, B, "ulimit -Sd");
    assert_line(fd, "unlimited");
    (void)close(fd);
}

static int setup_few_processes(void **state)
{
    struct rlimit own;
    assert_int_equal(getrlimit(RLIMIT_NPROC, &own), 0);
    const struct rlimit few = {4002, own.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NPROC, &few), 0);
    int code = setup_no_cgroups(state);
    assert_int_equal(setrlimit(RLIMIT_NPROC, &own), 0);
    return code;
}

static void task_may_have_fewer_processes_than_its_runner(void **state)
{
    struct agent *agent = *state;
    int fd = start_bash(agent, A, "ulimit -Su; ulimit -Hu");
    assert_line(fd, "3001");
    assert_line(fd, "3001");
    (void)close(fd);
}

static void without_cgroups_the_means_are_said(void **state)
{
    struct agent *agent = *state;
    disconnect_agent(agent);
    connect_agent(agent);
    const struct msg_runner_hello *hello = expect(agent, MESSAGE_runner_hello);
    assert_text(hello->memory_limit_by, "rlimit");
    assert_text(hello->cpu_limit_by, "affinity");
}

/* Skips where no memory controller may be used. */
static void need_memory_cgroup(struct agent *agent)
{
    disconnect_agent(agent);
    connect_agent(agent);
    const struct msg_runner_hello *hello = expect(agent, MESSAGE_runner_hello);
    if (slice_is(hello->memory_limit_by, "rlimit"))
        skip();
}

static const char *const over_limit =
    "killed: it needed more than its memory limit of 16MiB (peak 16MiB); raise `memory`, or let it "
    "use less";

static void main_process_over_its_limit_is_out_of_memory(void **state)
{
    struct agent *agent = *state;
    const struct spawn_limits limits = {.memory_bytes = 16 * MIB};
    need_memory_cgroup(agent);
    (void)close(start_limited(agent, A, limits, "exec tail /dev/zero"));
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_OUT_OF_MEMORY);
    assert_text(end->error, over_limit);
}

static void process_that_left_its_session_is_bounded_too(void **state)
{
    struct agent *agent = *state;
    const struct spawn_limits limits = {.memory_bytes = 16 * MIB};
    need_memory_cgroup(agent);
    (void)close(start_limited(
        agent, A, limits, "env -i PATH=\"$PATH\" setsid --wait tail /dev/zero || exit 3"));
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_OUT_OF_MEMORY);
    assert_text(end->error, over_limit);
}

static void limit_of_one_attempt_is_not_the_next_ones(void **state)
{
    struct agent *agent = *state;
    const struct spawn_limits limits = {.memory_bytes = 16 * MIB};
    need_memory_cgroup(agent);
    (void)close(start_limited(agent, A, limits, "exec tail /dev/zero"));
    (void)expect(agent, MESSAGE_runner_exited);
    forget(agent, A);
    (void)close(start_bash(agent, B, "head -c 64000000 /dev/zero | tail | wc -c >/dev/null"));
    const struct msg_runner_exited *end = expect(agent, MESSAGE_runner_exited);
    assert_int_equal(end->id.task, B.task);
    assert_int_equal(end->exit_code, 0);
}

int main(void)
{
#define FAKE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
#define REAL(name) cmocka_unit_test_setup_teardown(name, setup_cgroups, teardown)
#define BARE(name) cmocka_unit_test_setup_teardown(name, setup_no_cgroups, teardown)
    const struct CMUnitTest tests[] = {
        FAKE(cgroup_gets_both_limits_and_no_swap),
        FAKE(cgroup_without_swap_bounds_memory_all_the_same),
        FAKE(cgroup_that_cannot_bound_says_so),
        FAKE(memory_of_the_machine_is_told_from_the_limit),
        FAKE(memory_of_version_1_is_told_by_its_peak),
        cmocka_unit_test(means_are_named_as_they_are_chosen),
        cmocka_unit_test(task_that_lacks_its_cgroup_is_not_run_unbounded),
        cmocka_unit_test(processors_are_those_that_the_fewest_have),
        BARE(without_cgroups_each_process_is_bounded),
        BARE(without_cgroups_the_means_are_said),
        cmocka_unit_test_setup_teardown(
            task_may_have_fewer_processes_than_its_runner, setup_few_processes, teardown),
        REAL(main_process_over_its_limit_is_out_of_memory),
        REAL(process_that_left_its_session_is_bounded_too),
        REAL(limit_of_one_attempt_is_not_the_next_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
