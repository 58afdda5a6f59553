/*
 * How busy a host is, by files that this test writes in place of the kernel's.
 */
#include "worker/io/load.h"

#include "common/file.h"
#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

struct fixture {
    char root[32];
    struct load_meter meter;
    struct agent_load load;
};

static void put(const struct fixture *f, const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", f->root, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_int_equal(file_make_folder(path, 0700, NULL), 0);
    *slash = '/';
    assert_int_equal(file_replace(path, slice_of(text), 0600, NULL), 0);
    free(path);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    (void)snprintf(f->root, sizeof f->root, "/tmp/reeve-XXXXXX");
    if (mkdtemp(f->root) == NULL)
        return -1;
    f->meter = (struct load_meter){.proc = xasprintf("%s/proc", f->root),
        .cgroup = xasprintf("%s/cgroup", f->root),
        .folder = f->root};
    put(f, "proc/stat",
        "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2\ncpu1 1 2\ncpu2 0\ncpu3 0\nintr 5\n");
    put(f, "proc/meminfo", "MemTotal:  1000 kB\nMemFree:  10 kB\nMemAvailable:  400 kB\n");
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    int rc = file_remove_tree(f->root, NULL);
    free((char *)(uintptr_t)f->meter.proc);
    free((char *)(uintptr_t)f->meter.cgroup);
    free(f);
    return rc;
}

static void load_of_a_host_is_what_happened_in_between(void **state)
{
    struct fixture *f = *state;
    load_read(&f->meter, &f->load);
    assert_int_equal(f->load.cpus, 4);
    assert_int_equal(f->load.cpu_permille, 0);
    assert_int_equal(f->load.memory_bytes, 1000 * 1024);
    assert_int_equal(f->load.memory_used, 600 * 1024);
    assert_true(f->load.disk_bytes > 0 && f->load.disk_free <= f->load.disk_bytes);
    put(f, "proc/stat", "cpu  130 0 120 950 0 0 0 0 0 0\ncpu0 1\ncpu1 1\ncpu2 0\ncpu3 0\n");
    load_read(&f->meter, &f->load);
    assert_int_equal(f->load.cpu_permille, 250);
}

static void load_of_a_container_is_that_of_its_bounds(void **state)
{
    struct fixture *f = *state;
    put(f, "proc/self/cgroup", "1:name=systemd:/x\n0::/box/unit\n");
    put(f, "cgroup/box/memory.max", "512000\n");
    put(f, "cgroup/box/memory.current", "300000\n");
    put(f, "cgroup/box/memory.stat", "anon 1\ninactive_file 100000\n");
    put(f, "cgroup/box/unit/memory.max", "max\n");
    put(f, "cgroup/box/cpu.max", "150000 100000\n");
    put(f, "cgroup/box/cpu.stat", "usage_usec 1000000\nuser_usec 1\n");
    load_read(&f->meter, &f->load);
    assert_int_equal(f->load.cpus, 2);
    assert_int_equal(f->load.memory_bytes, 512000);
    assert_int_equal(f->load.memory_used, 200000);
    put(f, "cgroup/box/cpu.stat", "usage_usec 900000000000\n");
    load_read(&f->meter, &f->load);
    assert_int_equal(f->load.cpu_permille, 1000);
}

static void load_that_cannot_be_read_is_not_known(void **state)
{
    struct fixture *f = *state;
    struct load_meter nowhere = {.proc = "/nowhere", .cgroup = "/nowhere", .folder = "/nowhere"};
    memset(&f->load, 1, sizeof f->load);
    load_read(&nowhere, &f->load);
    assert_int_equal(f->load.cpus, 0);
    assert_int_equal(f->load.memory_bytes, 0);
    assert_int_equal(f->load.disk_bytes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(load_of_a_host_is_what_happened_in_between),
        TEST(load_of_a_container_is_that_of_its_bounds),
        TEST(load_that_cannot_be_read_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
