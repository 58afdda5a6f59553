/*
 * reeve-runner: the supervisor of a worker's tasks. Started by the agent, outlives it. SIGTERM ends
 * it only while it holds no attempt; what it holds is ended by the agent's runner_stop, or by the
 * attempts' leases.
 */
#include "common/random.h"
#include "worker/runner/io.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Usage: reeve-runner --folder DIR [--ready-fd N] [--no-cgroups]\n"
    "Starts, watches and kills the tasks of one worker; reeve-worker starts it.\n"
    "\n"
    "  --folder DIR   where it makes its socket, runner-INSTANCE.sock\n"
    "  --ready-fd N   gets INSTANCE and a newline when the socket can be connected to\n"
    "  --no-cgroups   finds the processes of a task by their environment and descent only\n";

struct options {
    const char *folder;
    int ready_fd;
    bool no_cgroups;
};

/* 0, or the status to exit with; 1 also for --help and --version, which are done then. */
static int options_read(int argc, char **argv, struct options *options, int *ret_status)
{
    static const struct option known[] = {
        {"folder", required_argument, NULL, 'f'},
        {"ready-fd", required_argument, NULL, 'r'},
        {"no-cgroups", no_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {0},
    };
    int letter;
    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (letter) {
        case 'f':
            options->folder = optarg;
            break;
        case 'r':
            options->ready_fd = atoi(optarg);
            break;
        case 'n':
            options->no_cgroups = true;
            break;
        case 'h':
        case 'v':
            (void)fputs(letter == 'h' ? usage : "reeve-runner " REEVE_VERSION "\n", stdout);
            *ret_status = 0;
            return 1;
        default:
            *ret_status = 2;
            return 1;
        }
    }
    if (options->folder == NULL || optind != argc) {
        (void)fputs(usage, stderr);
        *ret_status = 2;
        return 1;
    }
    return 0;
}

/* Whoever started us may have ignored or blocked anything; our tasks get the default, a terminal
 * does not reach us. */
static void signals_prepare(void)
{
    static const int ignored[] = {SIGINT, SIGHUP, SIGPIPE, SIGQUIT};
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void files_prepare(int keep)
{
    if (keep > STDERR_FILENO) {
        if (keep > STDERR_FILENO + 1)
            (void)close_range(STDERR_FILENO + 1, (unsigned)keep - 1, 0);
        (void)close_range((unsigned)keep + 1, ~0U, 0);
        (void)fcntl(keep, F_SETFD, FD_CLOEXEC);
    } else {
        (void)close_range(STDERR_FILENO + 1, ~0U, 0);
    }
}

/* From here on nothing is written anywhere: a full pipe or a dead disk behind stderr would stop the
 * runner. */
static int files_let_go(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -1;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        (void)dup2(null, fd);
    if (null > STDERR_FILENO)
        (void)close(null);
    return chdir("/");
}

static void say_ready(int fd, uint64_t instance)
{
    char line[32];
    int length = snprintf(line, sizeof line, "%016" PRIx64 "\n", instance);
    if (fd < 0)
        return;
    (void)!write(fd, line, (size_t)length);
    (void)close(fd);
}

int main(int argc, char **argv)
{
    struct options options = {.ready_fd = -1};
    struct error error;
    struct runner *runner;
    int status;
    if (options_read(argc, argv, &options, &status) != 0)
        return status;
    (void)setsid();
    signals_prepare();
    files_prepare(options.ready_fd);
    uint64_t instance = random_id();
    int code = runner_open(options.folder, instance, !options.no_cgroups, &runner, &error);
    if (code == 0 && files_let_go() != 0)
        code = error_set(&error, ERR_IO, "cannot open /dev/null");
    if (code != 0) {
        (void)fprintf(stderr, "reeve-runner: %s\n", error.text);
        return error_exit_status(code);
    }
    say_ready(options.ready_fd, instance);
    runner_run(runner);
    runner_close(runner);
    return 0;
}
