/*
 * reeve-master: the scheduler. Reads its options, then serves until SIGTERM or SIGINT.
 */
#include "common/hash.h"
#include "common/json_memory.h"
#include "common/log.h"
#include "master/io/master.h"
#include "master/io/vault.h"

#include <stdio.h>

static int print(struct buffer *text)
{
    int rc = fputs(buffer_text(text), stdout) < 0 || fflush(stdout) != 0;
    buffer_fini(text);
    return rc;
}

/* The program's exit status; `*error` is told by the caller. */
static int run(const struct options *options, struct error *error)
{
    struct buffer text = {0};
    if (options->common.help) {
        options_usage(&text);
        return print(&text);
    }
    if (options->common.version) {
        buffer_append_text(&text, "reeve-master " REEVE_VERSION "\n");
        return print(&text);
    }
    if (options->common.print_config) {
        options_print(options, &text);
        return print(&text);
    }
    log_start("reeve-master", options->common.log_level);
    hash_start();
    json_memory_start();
    return master_run(options, error) == 0 ? 0 : error_exit_status(error->code);
}

int main(int argc, char **argv)
{
    struct options options;
    struct error error = {0};
    log_start("reeve-master", LOG_LEVEL_INFO);
    vault_take_environment();
    int rc = options_parse(&options, argc, argv, &error);
    int status = rc == 0 ? run(&options, &error) : error_exit_status(rc);
    if (error.code != 0)
        log_error("%s", error.text);
    options_fini(&options);
    return status;
}
