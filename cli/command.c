#include "cli/command.h"

#include "cli/document.h"
#include "cli/session.h"
#include "common/suggest.h"

#include <string.h>

#define OPTIONS_END                                                                                \
    {                                                                                              \
        NULL, 0, OPTION_FLAG, NULL, NULL                                                           \
    }
#define PARAM_OPTION                                                                               \
    {                                                                                              \
        "param", 'p', OPTION_TEXTS, "NAME=VALUE", "a param; NAME=@FILE reads it from a file"       \
    }
#define DATE_OPTION                                                                                \
    {                                                                                              \
        "date", 0, OPTION_TEXT, "DATE", "the logical date: 2026-11-21 or 2026-11-21T03:00"         \
    }
#define SLOTS_OPTION                                                                               \
    {                                                                                              \
        "slots", 0, OPTION_NUMBER, "N", "tasks side by side on a worker; else one a CPU"           \
    }

static const struct option_row no_options[] = {OPTIONS_END};
static const struct option_row reading_options[] = {DOCUMENT_OPTIONS, SESSION_OPTIONS, OPTIONS_END};
static const struct option_row changing_options[] = {SESSION_OPTIONS, OPTIONS_END};

static const struct option_row run_options[] = {
    PARAM_OPTION,
    DATE_OPTION,
    SLOTS_OPTION,
    {"quiet", 'q', OPTION_FLAG, NULL, "not what the tasks write, only the end of what failed"},
    {"keep", 0, OPTION_FLAG, NULL, "keep the data folder, and say where it is"},
    OPTIONS_END,
};
static const struct option_row standalone_options[] = {
    {"workers", 0, OPTION_NUMBER, "N", "how many workers; else one"},
    SLOTS_OPTION,
    {"data", 0, OPTION_TEXT, "DIR", "the master's folder; else ~/.local/share/reeve/master"},
    {"dags", 0, OPTION_TEXTS, "DIR", "a folder of DAG files"},
    {"listen", 0, OPTION_TEXT, "ADDRESS",
        "tcp://HOST:7411: also for other hosts (reeve token create)"},
    OPTIONS_END,
};
static const struct option_row validate_options[] = {DOCUMENT_OPTIONS, OPTIONS_END};
static const struct option_row submit_options[] = {
    PARAM_OPTION,
    DATE_OPTION,
    {"again", 0, OPTION_FLAG, NULL, "also when the date has a run"},
    {"key", 0, OPTION_TEXT, "KEY", "the same key is the same run"},
    {"wait", 'w', OPTION_FLAG, NULL, "follow the run until it ends, and exit as it did"},
    {"timeout", 0, OPTION_DURATION, "TIME", "with --wait: how long at most (90s, 5m, 1h30m)"},
    DOCUMENT_OPTIONS,
    SESSION_OPTIONS,
    OPTIONS_END,
};
static const struct option_row wait_options[] = {
    {"timeout", 0, OPTION_DURATION, "TIME", "how long at most (90s, 5m, 1h30m)"},
    DOCUMENT_OPTIONS,
    SESSION_OPTIONS,
    OPTIONS_END,
};
static const struct option_row runs_options[] = {
    {"state", 0, OPTION_TEXT, "STATE", "only these: queued, running, success, failed, cancelled"},
    {"since", 0, OPTION_DURATION, "TIME", "submitted in the last 12h, 2d, …"},
    {"limit", 'n', OPTION_NUMBER, "N", "how many at most; else 20"},
    DOCUMENT_OPTIONS,
    SESSION_OPTIONS,
    OPTIONS_END,
};
static const struct option_row logs_options[] = {
    {"follow", 'f', OPTION_FLAG, NULL, "go on as lines come, until the run or task has ended"},
    {"times", 't', OPTION_FLAG, NULL, "the time of each line"},
    {"failed", 0, OPTION_FLAG, NULL, "the last attempt of each failed task, its last 100 lines"},
    {"tail", 0, OPTION_TEXT, "N|all", "only the last N lines of each log"},
    {"grep", 0, OPTION_UNSUPPORTED, "TEXT", "only lines that hold a text"},
    DOCUMENT_OPTIONS,
    SESSION_OPTIONS,
    OPTIONS_END,
};
static const struct option_row retry_options[] = {
    {"only", 0, OPTION_FLAG, NULL, "the task alone, not those below it"},
    PARAM_OPTION,
    {"new-files", 0, OPTION_UNSUPPORTED, NULL, "take the DAG's folder as it is now"},
    SESSION_OPTIONS,
    OPTIONS_END,
};
static const struct option_row mark_options[] = {
    {"note", 0, OPTION_TEXT, "TEXT", "why"},
    SESSION_OPTIONS,
    OPTIONS_END,
};
static const struct option_row workers_options[] = {
    {"remove", 0, OPTION_TEXT, "WORKER", "its key is worth nothing from now on"},
    {"lost", 0, OPTION_TEXT, "WORKER", "its host is gone: start its tasks elsewhere now"},
    DOCUMENT_WIDE_OPTIONS,
    SESSION_OPTIONS,
    OPTIONS_END,
};
static const struct option_row artifacts_options[] = {
    {"get", 0, OPTION_TEXT, "NAME", "write this file into the current folder"},
    {"output-file", 'O', OPTION_TEXT, "FILE", "with --get: write it there; - is stdout"},
    DOCUMENT_OPTIONS,
    SESSION_OPTIONS,
    OPTIONS_END,
};
static const struct option_row connections_options[] = {
    {"type", 0, OPTION_TEXT, "TYPE", "set: postgres, spark, http, generic or another word"},
    {"host", 0, OPTION_TEXT, "HOST", "set: with --type"},
    {"port", 0, OPTION_TEXT, "PORT", "set: with --type"},
    {"schema", 0, OPTION_TEXT, "NAME", "set: with --type; of a database its name"},
    {"login", 0, OPTION_TEXT, "USER", "set: with --type"},
    {"extra", 0, OPTION_TEXT, "JSON", "set: with --type; not for secrets"},
    {"keep", 0, OPTION_FLAG, NULL, "set: not when one of that name is there"},
    {"replace", 0, OPTION_FLAG, NULL, "import: also those that are there"},
    {"queue", 0, OPTION_TEXT, "QUEUE", "test: on a worker of this queue"},
    {"timeout", 0, OPTION_DURATION, "TIME", "test: how long at most; else 1m"},
    DOCUMENT_OPTIONS,
    SESSION_OPTIONS,
    OPTIONS_END,
};
static const struct option_row token_options[] = {
    {"role", 0, OPTION_TEXT, "ROLE", "create: worker, operator or viewer"},
    {"uses", 0, OPTION_NUMBER, "N", "create: how many may join by it; else one"},
    {"valid", 0, OPTION_DURATION, "TIME", "create: for how long (90s, 5m, 2d); else 1h"},
    {"label", 0, OPTION_TEXT, "TEXT", "create: what it is for"},
    {"address", 0, OPTION_TEXTS, "ADDRESS", "create: where to join, instead of the master's own"},
    {"out", 0, OPTION_TEXT, "FILE", "create: write it into a new file that others cannot read"},
    DOCUMENT_OPTIONS,
    SESSION_OPTIONS,
    OPTIONS_END,
};
static const struct option_row join_options[] = {
    {"name", 0, OPTION_TEXT, "NAME", "what the master is called here; else its host"},
    {"as", 0, OPTION_TEXT, "WHO", "what the master calls you; else USER.HOST"},
    DOCUMENT_OPTIONS,
    OPTIONS_END,
};
static const struct option_row masters_options[] = {
    {"forget", 0, OPTION_TEXT, "NAME", "remove what was joined, and its key, from here"},
    DOCUMENT_OPTIONS,
    OPTIONS_END,
};
static const struct option_row audit_options[] = {
    {"since", 0, OPTION_DURATION, "TIME", "only of the last 24h, 7d, …"},
    {"limit", 'n', OPTION_NUMBER, "N", "how many lines at most; else 50"},
    DOCUMENT_OPTIONS,
    SESSION_OPTIONS,
    OPTIONS_END,
};
static const struct option_row help_options[] = {
    {"markdown", 0, OPTION_FLAG, NULL, "all commands, as docs/cli.md has them"},
    OPTIONS_END,
};

enum { MANY = 10000 };

static const struct command rows[] = {
    {"run", "FILE [-p NAME=VALUE]… [--date DATE]", "Run a DAG file once, here, without a server",
        "A master and a worker of its own run it, in a private folder that goes with them. What\n"
        "tasks write comes on stdout, each line under its task's name; progress on stderr. Ctrl-C\n"
        "cancels the run, a second one ends at once.",
        run_options, 1, 1, cmd_run},
    {"standalone", "[--workers N] [--dags DIR]…", "A master and local workers, in the foreground",
        "For a laptop: `reeve submit` in another terminal finds it. Ctrl-C ends all of it, a "
        "second\n"
        "one at once. The runs stay in the data folder.",
        standalone_options, 0, 0, cmd_standalone},
    {"validate", "FILE|DIR…", "Show every mistake in DAG files at once",
        "Needs no master. In a folder, and one below it, it takes the *.yaml and *.yml that have "
        "`tasks`.",
        validate_options, 1, MANY, cmd_validate},
    {"submit", "FILE|DAG [-p NAME=VALUE]… [--wait]", "Start a run, and print its name",
        "What ends in .yaml or .yml, or has a / and a file behind it, is a FILE; else it is a DAG "
        "that\n"
        "the master knows. Once the run's name is printed, the run survives a crash of the master.",
        submit_options, 1, 1, cmd_submit},
    {"wait", "RUN", "Follow a run until it ends, and exit as it did",
        "Ctrl-C lets go of it; the run goes on.", wait_options, 1, 1, cmd_wait},
    {"status", "[RUN[/TASK]]", "Show a run, its tasks and attempts; or all at a glance",
        "RUN is salaries/17, salaries (its latest) or last. Without RUN: the master, its workers, "
        "the\n"
        "runs that are not over and what they wait for.",
        reading_options, 0, 1, cmd_status},
    {"runs", "[DAG] [--state STATE] [--since TIME] [-n N]", "List runs, the newest first", NULL,
        runs_options, 0, 1, cmd_runs},
    {"dags", "", "List the DAGs that the master knows", NULL, reading_options, 0, 0, cmd_dags},
    {"logs", "RUN[/TASK[@N|@all]] [-f] [-t] [--failed] [--tail N|all]", "Print what tasks wrote",
        "A RUN's tasks come in order of their start, each line behind its task's name; a TASK's "
        "last\n"
        "attempt, attempt N, or all. On a terminal control characters are made visible; elsewhere\n"
        "bytes stay as they are. How an attempt ended is said on stderr.",
        logs_options, 1, 1, cmd_logs},
    {"cancel", "RUN[/TASK]", "End a run, or one task of it", NULL, changing_options, 1, 1,
        cmd_cancel},
    {"retry", "RUN[/TASK] [--only] [-p NAME=VALUE]…", "Run again what failed, in the same run",
        "RUN: what failed, was cancelled or is upstream_failed, and all below it. RUN/TASK: that "
        "task,\n"
        "whatever its end, and all below it.",
        retry_options, 1, 1, cmd_retry},
    {"mark", "RUN/TASK success|skipped|failed [--note TEXT]",
        "Set the end of a task that is not running", NULL, mark_options, 2, 2, cmd_mark},
    {"explain", "RUN[/TASK]", "Say what a run or a task waits for, and since when",
        "RUN: what holds it up, the most important first.", reading_options, 1, 1, cmd_explain},
    {"workers", "[--remove WORKER | --lost WORKER]", "List the workers, or give one up",
        "HEARD is how long ago its last heartbeat came. --remove takes a worker's key from it: it "
        "is\n"
        "refused from its next message on. What runs there goes on until its lease is over, and "
        "starts\n"
        "elsewhere then: drain it first if it can still be reached.\n"
        "--lost is for a host that is gone for good: what ran there is not waited for until its\n"
        "lease is over, and goes on at once as on_lost says. If the host lives after all, a task\n"
        "may run twice.",
        workers_options, 0, 0, cmd_workers},
    {"operators", "", "List the operator programs that workers have",
        "bash, exec and noop need none. One with a problem gets no tasks on that worker until it "
        "is\n"
        "mended and the worker started again, which ends no task.",
        reading_options, 0, 0, cmd_operators},
    {"drain", "WORKER", "Give a worker no more tasks",
        "What runs there ends, what it had not begun goes elsewhere. It stays so until `reeve "
        "undrain`,\n"
        "also when the worker or the master is started again.",
        reading_options, 1, 1, cmd_drain},
    {"undrain", "WORKER", "Give a worker tasks again", NULL, reading_options, 1, 1, cmd_undrain},
    {"artifacts", "RUN[/TASK] [--get NAME [-O FILE]]", "List or fetch the files that tasks left",
        "NAME is a file's path as listed, or TASK/PATH where several tasks left one of that name. "
        "A\n"
        "file that is there is not overwritten, unless -O names it.",
        artifacts_options, 1, 1, cmd_artifacts},
    {"connections", "list | set NAME | test NAME | rm NAME | import FILE | rotate",
        "Keep what tasks need to reach other systems",
        "`set` reads a URI or JSON from stdin, or asks for it; with --type it asks for the "
        "password "
        "alone.\n"
        "`test` opens the connection on a worker. `import` takes what `airflow connections export` "
        "wrote\n"
        "(JSON, YAML or env). `rotate` seals all of the store with a new key. Secrets are never "
        "shown.",
        connections_options, 1, 2, cmd_connections},
    {"token", "create --role ROLE [--uses N] [--valid TIME] | list | revoke ID",
        "Let workers and people join from other hosts",
        "`create` prints a token, one line that is a secret: on another host `reeve-worker --join` "
        "or\n"
        "`reeve join` takes it. `revoke` ends it, and removes the people who joined by it (workers "
        "stay:\n"
        "`reeve workers --remove`). Only on the master's own host.",
        token_options, 1, 2, cmd_token},
    {"join", "TOKEN|@FILE|- [--name NAME] [--as WHO]", "Speak to a master on another host",
        "Makes a key for you and writes it to ~/.config/reeve/masters/NAME. From then on --master "
        "NAME\n"
        "or $REEVE_MASTER name that master, and every command works as on its host. - reads the "
        "token\n"
        "from stdin.",
        join_options, 1, 1, cmd_join},
    {"masters", "[--forget NAME]", "List the masters that were joined from here", NULL,
        masters_options, 0, 0, cmd_masters},
    {"audit", "[--since TIME] [-n N]", "Show who changed what, and who was refused",
        "The newest first. Refusals that are alike are one line a minute.", audit_options, 0, 0,
        cmd_audit},
    {"ping", "", "Ask whether a master answers, and as whom it knows you", NULL, reading_options, 0,
        0, cmd_ping},
    {"help", "[COMMAND]", "Explain a command", NULL, help_options, 0, 1, cmd_help},
    {"version", "", "Print the version", NULL, no_options, 0, 0, cmd_version},
    {"pause", "DAG", "Start no more runs of a DAG", NULL, no_options, 0, MANY, NULL},
    {"unpause", "DAG", "Start runs of a DAG again", NULL, no_options, 0, MANY, NULL},
    {"backfill", "DAG --from DATE --to DATE", "Run a DAG for past dates", NULL, no_options, 0, MANY,
        NULL},
    {"backup", "FILE", "Copy the master's data", NULL, no_options, 0, MANY, NULL},
    {"completion", "SHELL", "Completion for a shell", NULL, no_options, 0, MANY, NULL},
};

enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

const struct command *commands(size_t *ret_count)
{
    *ret_count = ROW_COUNT;
    return rows;
}

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    }
    return NULL;
}

/* What other tools call it: Airflow, a shell, a service manager. */
static const char *known_elsewhere(const char *name)
{
    static const char *const words[][2] = {
        {"trigger", "submit"},
        {"start", "submit"},
        {"clear", "retry"},
        {"rerun", "retry"},
        {"kill", "cancel"},
        {"stop", "cancel"},
        {"list", "runs"},
        {"ls", "runs"},
        {"ps", "status"},
        {"show", "status"},
        {"log", "logs"},
        {"tail", "logs"},
        {"check", "validate"},
        {"lint", "validate"},
        {"test", "run"},
        {"skip", "mark"},
        {"why", "explain"},
        {"login", "join"},
        {"nodes", "workers"},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i][0], name) == 0)
            return words[i][1];
    }
    return NULL;
}

int command_unknown(const char *name, struct error *error)
{
    const char *names[ROW_COUNT + 1];
    const char *here = known_elsewhere(name);
    if (here != NULL)
        return error_set(
            error, ERR_USAGE, "unknown command \"%s\": it is called `reeve %s` here", name, here);
    for (size_t i = 0; i < ROW_COUNT; i++)
        names[i] = rows[i].name;
    names[ROW_COUNT] = NULL;
    const char *near = suggest(slice_of(name), names);
    if (near != NULL)
        return error_set(
            error, ERR_USAGE, "unknown command \"%s\"; did you mean \"%s\"?", name, near);
    return error_set(error, ERR_USAGE, "unknown command \"%s\"; `reeve help` lists them", name);
}
