#include "worker/runner/spawn.h"

#include "worker/runner/pids.h"
#include "worker/runner/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sanitizer/asan_interface.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    STACK_BYTES = 128 * 1024,
    /* By so much a task is likelier to be killed for want of memory than the runner (0..1000). */
    OOM_SCORE_ABOVE = 100,
    /* An operator's socket. */
    CHANNEL_FD = 3,
    /* Where the child of a fork keeps the pipe for its failure until exec closes it. */
    FAILURE_FD = 4,
};

static int oom_score_own(void)
{
    char text[16] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        (void)close(fd);
    return length > 0 ? atoi(text) : 0;
}

void spawner_init(struct spawner *spawner)
{
    if (getrlimit(RLIMIT_NOFILE, &spawner->files) != 0)
        spawner->files = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit raised = spawner->files;
    raised.rlim_cur = raised.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &raised);
    spawner->pids = pids_of_user();
    int own = oom_score_own();
    int above = (own > 0 ? own : 0) + OOM_SCORE_ABOVE;
    (void)snprintf(
        spawner->oom_score, sizeof spawner->oom_score, "%d", above < 1000 ? above : 1000);
    spawner->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (spawner->stack == MAP_FAILED)
        abort();
}

void spawner_fini(struct spawner *spawner)
{
    (void)munmap(spawner->stack, STACK_BYTES);
}

/* ---- in the child ---- */

struct birth {
    const struct spawner *spawner;
    const struct spawn_order *order;
    int failure_fd; /* write end; -1: the memory is shared */
    struct spawn_failure *failure;
};

/* Not _exit: before a call that does not return the address sanitizer clears its marks of the
   stack, and this one is not its own. */
static void child_end(int status)
{
    for (;;)
        (void)syscall(SYS_exit_group, status);
}

static void signals_reset(void)
{
    static const int ignored[] = {SIGINT, SIGHUP, SIGPIPE, SIGQUIT};
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)sigaction(ignored[i], &normal, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void oom_score_raise(const char *score)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!write(fd, score, strlen(score));
    (void)close(fd);
}

/* A descriptor becomes `number`, and is close-on-exec if it says so; -1: nothing does. */
static void file_place(int fd, int number, int flags)
{
    if (fd < 0)
        (void)close(number);
    else if (fd == number)
        (void)fcntl(fd, F_SETFD, flags == O_CLOEXEC ? FD_CLOEXEC : 0);
    else
        (void)dup3(fd, number, flags);
}

static void files_arrange(const struct birth *birth)
{
    int channel = birth->order->channel, failure = birth->failure_fd;
    /* The runner's own stdin is /dev/null already. */
    (void)dup2(birth->order->output, STDOUT_FILENO);
    (void)dup2(birth->order->output, STDERR_FILENO);
    /* Neither lies where the other shall go. */
    if (failure == CHANNEL_FD)
        failure = fcntl(failure, F_DUPFD_CLOEXEC, FAILURE_FD + 1);
    if (channel == FAILURE_FD)
        channel = fcntl(channel, F_DUPFD_CLOEXEC, FAILURE_FD + 1);
    file_place(channel, CHANNEL_FD, 0);
    file_place(failure, FAILURE_FD, O_CLOEXEC);
    /* Everything of the runner is close-on-exec anyway; this is for the kernel that lacks the call
       and for what slipped through. */
    (void)close_range(FAILURE_FD + 1, ~0U, 0);
}

/* For good: real, effective and saved. By the kernel's own calls, as there is but one thread. */
static bool user_become(const struct spawn_user *user, struct spawn_failure *failure)
{
    if (user == NULL || (syscall(SYS_setgroups, user->group_count, user->groups) == 0 &&
                            syscall(SYS_setresgid, user->gid, user->gid, user->gid) == 0 &&
                            syscall(SYS_setresuid, user->uid, user->uid, user->uid) == 0))
        return true;
    failure->reason = REASON_WORKER_ERROR;
    (void)snprintf(failure->text, sizeof failure->text, "cannot become user %lu: %s",
        (unsigned long)user->uid, strerrordesc_np(errno));
    return false;
}

static bool bounds_take(const struct spawn_order *order, struct spawn_failure *failure)
{
    bool taken = true;
    for (uint32_t i = 0; taken && i < order->enter_count; i++)
        taken = write(order->enter[i], "0", 1) == 1;
    if (taken && order->data_bytes > 0) {
        struct rlimit data = {order->data_bytes, order->data_bytes};
        taken = setrlimit(RLIMIT_DATA, &data) == 0;
    }
    if (taken && order->processors != NULL)
        taken = sched_setaffinity(0, sizeof *order->processors, order->processors) == 0;
    if (taken)
        return true;
    failure->reason = REASON_WORKER_ERROR;
    (void)snprintf(failure->text, sizeof failure->text, "cannot limit its memory or cpus here: %s",
        strerrordesc_np(errno));
    return false;
}

static void enter_and_become(const struct spawn_order *order, struct spawn_failure *failure)
{
    if (!user_become(order->user, failure))
        return;
    if (chdir(order->folder) != 0) {
        failure->reason = REASON_WORKER_ERROR;
        (void)snprintf(failure->text, sizeof failure->text, "working directory %.300s: %s",
            order->folder, strerrordesc_np(errno));
        return;
    }
    signals_reset();
    program_become(order->arguments, order->env, failure);
}

static int child_main(void *argument)
{
    const struct birth *birth = argument;
    struct spawn_failure *failure = birth->failure;
    (void)setsid();
    bool bounded = bounds_take(birth->order, failure);
    files_arrange(birth);
    oom_score_raise(birth->spawner->oom_score);
    (void)setrlimit(RLIMIT_NOFILE, &birth->spawner->files);
    (void)setrlimit(RLIMIT_NPROC, &birth->spawner->pids);
    if (bounded)
        enter_and_become(birth->order, failure);
    if (birth->failure_fd >= 0)
        (void)!write(FAILURE_FD, failure, sizeof *failure);
    child_end(127);
    return 127;
}

/* ---- in the parent ---- */

#if defined(__x86_64__)
/*
 * clone3 with a stack of the child's own cannot go through syscall(): the child would return into a
 * frame that is not on its stack. It calls child_main instead, which never returns.
 */
static long clone3_call(struct clone_args *args, int (*function)(void *), void *argument)
{
    long result = SYS_clone3;
    register int (*function_at)(void *) __asm__("r8") = function;
    register void *argument_at __asm__("r9") = argument;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r9, %%rdi\n\t"
                     "call *%%r8\n\t"
                     "hlt\n"
                     "1:"
                     : "+a"(result)
                     : "D"(args), "S"(sizeof *args), "r"(function_at), "r"(argument_at)
                     : "rcx", "r11", "memory", "cc");
    return result;
}
#elif defined(__aarch64__)
static long clone3_call(struct clone_args *args, int (*function)(void *), void *argument)
{
    register long number __asm__("x8") = SYS_clone3;
    register long result __asm__("x0") = (long)args;
    register size_t size __asm__("x1") = sizeof *args;
    register int (*function_at)(void *) __asm__("x10") = function;
    register void *argument_at __asm__("x11") = argument;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, x11\n\t"
                     "blr x10\n\t"
                     "brk #0\n"
                     "1:"
                     : "+r"(result)
                     : "r"(number), "r"(size), "r"(function_at), "r"(argument_at)
                     : "memory", "cc");
    return result;
}
#else
static long clone3_call(struct clone_args *args, int (*function)(void *), void *argument)
{
    (void)args;
    (void)function;
    (void)argument;
    return -ENOSYS;
}
#endif

/* As vfork; -1 and errno when the kernel, or a container's filter, does not let it. */
static pid_t clone_into_cgroup(
    const struct spawner *spawner, int cgroup_fd, int (*function)(void *), void *argument)
{
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .stack = (uintptr_t)spawner->stack,
        .stack_size = STACK_BYTES,
        .cgroup = (unsigned)cgroup_fd,
    };
    long result = clone3_call(&args, function, argument);
    if (result >= 0)
        return (pid_t)result;
    errno = (int)-result;
    return -1;
}

static int child_probe(void *argument)
{
    (void)argument;
    child_end(0);
    return 0;
}

bool spawner_can_enter(const struct spawner *spawner, int cgroup_fd)
{
    pid_t pid = clone_into_cgroup(spawner, cgroup_fd, child_probe, NULL);
    return pid > 0 && waitpid(pid, NULL, 0) == pid;
}

static pid_t vfork_plain(struct birth *birth)
{
    char *top = (char *)birth->spawner->stack + STACK_BYTES;
    return clone(child_main, top, CLONE_VM | CLONE_VFORK | SIGCHLD, birth);
}

static pid_t fork_into_cgroup(struct birth *birth)
{
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .cgroup = (unsigned)birth->order->cgroup_fd,
    };
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static pid_t spawn_fork(struct birth *birth, int *ret_failure_fd)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return -1;
    birth->failure_fd = ends[1];
    pid_t pid = birth->order->cgroup_fd >= 0 ? fork_into_cgroup(birth) : fork();
    if (pid == 0)
        (void)child_main(birth);
    int number = errno;
    (void)close(ends[1]);
    if (pid < 0)
        (void)close(ends[0]);
    else
        *ret_failure_fd = ends[0];
    errno = number;
    return pid;
}

static pid_t spawn_vfork(struct birth *birth)
{
    /* The child before left marks of its frames on the stack, where the sanitizer keeps such. */
    ASAN_UNPOISON_MEMORY_REGION(birth->spawner->stack, STACK_BYTES);
    pid_t pid = birth->order->cgroup_fd >= 0
                    ? clone_into_cgroup(birth->spawner, birth->order->cgroup_fd, child_main, birth)
                    : vfork_plain(birth);
    if (pid > 0 && birth->failure->reason != REASON_NONE) {
        (void)waitpid(pid, NULL, 0);
        errno = 0;
        return -1;
    }
    return pid;
}

pid_t spawn(const struct spawner *spawner, const struct spawn_order *order, int *ret_failure_fd,
    struct spawn_failure *ret_failure)
{
    struct birth birth = {
        .spawner = spawner, .order = order, .failure_fd = -1, .failure = ret_failure};
    *ret_failure = (struct spawn_failure){.reason = REASON_NONE};
    *ret_failure_fd = -1;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, &before);
    bool forks = order->may_hang || order->user != NULL;
    pid_t pid = forks ? spawn_fork(&birth, ret_failure_fd) : spawn_vfork(&birth);
    int number = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0 && ret_failure->reason == REASON_NONE) {
        ret_failure->reason = REASON_WORKER_ERROR;
        (void)snprintf(ret_failure->text, sizeof ret_failure->text, "cannot make a process: %s",
            strerrordesc_np(number));
    }
    return pid;
}

bool spawn_failure_read(int failure_fd, struct spawn_failure *ret_failure)
{
    struct spawn_failure failure;
    ssize_t got = read(failure_fd, &failure, sizeof failure);
    (void)close(failure_fd);
    if (got != sizeof failure)
        return false;
    failure.text[sizeof failure.text - 1] = '\0';
    *ret_failure = failure;
    return true;
}
