/*
 * How a wish to stop reaches the agent, and its answers come back.
 */
#include "worker/io/stop_port.h"

#include "common/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fixture {
    char folder[32], path[48];
    struct loop *loop;
    struct stop_port *port;
    struct stop_wish wish;
    int wishes;
};

static void on_wish(void *context, const struct stop_wish *wish)
{
    struct fixture *f = context;
    f->wish = *wish;
    f->wishes++;
    stop_port_tell(f->port, "heard");
    loop_stop(f->loop);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/reeve-XXXXXX");
    if (mkdtemp(f->folder) == NULL || loop_create(&f->loop, NULL) != 0)
        return -1;
    (void)snprintf(f->path, sizeof f->path, "%s/agent.sock", f->folder);
    return stop_port_open(f->loop, f->path, on_wish, f, &f->port, NULL);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    stop_port_close(f->port);
    loop_destroy(f->loop);
    int rc = file_remove_tree(f->folder, NULL);
    free(f);
    return rc;
}

static int ask(struct fixture *f, const struct stop_wish *wish)
{
    int fd;
    assert_int_equal(stop_port_wish(f->path, wish, &fd, NULL), 0);
    loop_run(f->loop);
    return fd;
}

static void stop_wishes_arrive_and_are_answered(void **state)
{
    struct fixture *f = *state;
    char text[STOP_TEXT_MAX];
    int first = ask(f, &(struct stop_wish){.within_ms = 600000});
    assert_false(f->wish.now);
    assert_int_equal(f->wish.within_ms, 600000);
    assert_true(stop_port_read(first, text));
    assert_string_equal(text, "heard");
    int second = ask(f, &(struct stop_wish){.now = true});
    assert_true(f->wish.now);
    stop_port_tell(f->port, STOP_SAID);
    for (int i = 0; i < 2; i++)
        assert_true(stop_port_read(first, text));
    assert_string_equal(text, STOP_SAID);
    assert_true(stop_port_read(second, text) && stop_port_read(second, text));
    assert_string_equal(text, STOP_SAID);
    (void)close(first);
    (void)close(second);
}

static void stop_wish_without_an_agent_is_unreachable(void **state)
{
    struct fixture *f = *state;
    int fd;
    stop_port_close(f->port);
    f->port = NULL;
    assert_int_equal(
        stop_port_wish(f->path, &(struct stop_wish){.now = true}, &fd, NULL), ERR_UNREACHABLE);
}

static void stop_listener_that_hangs_up_is_forgotten(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++)
        (void)close(ask(f, &(struct stop_wish){0}));
    assert_int_equal(f->wishes, 20);
    char text[STOP_TEXT_MAX];
    int fd = ask(f, &(struct stop_wish){0});
    stop_port_close(f->port);
    f->port = NULL;
    assert_true(stop_port_read(fd, text));
    assert_false(stop_port_read(fd, text));
    (void)close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stop_wishes_arrive_and_are_answered),
        TEST(stop_wish_without_an_agent_is_unreachable),
        TEST(stop_listener_that_hangs_up_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
