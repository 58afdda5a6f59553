/*
 * secrets.h - connections of bash and exec tasks as files on memory: BASE/ATTEMPT/NAME/host, port,
 * login, password, schema, extra and uri, each 0600 and the task's user's; and for psql a file of
 * services and one of passwords. BASE is a folder of this worker's key on a tmpfs. The runner
 * removes an attempt's folder when nothing of it is left, whether or not an agent lives; the agent
 * removes what neither of them knows. One thread.
 */
#ifndef WORKER_IO_SECRETS_H
#define WORKER_IO_SECRETS_H

#include "common/error.h"
#include "proto/proto.h"
#include "worker/io/task_user.h"

struct secrets {
    char *base; /* NULL: not looked for yet */
    unsigned char key[32];
};

/* Remembers where an earlier agent of this key may have left some. */
void secrets_init(struct secrets *secrets, const unsigned char key[32]);
void secrets_fini(struct secrets *secrets);

/*
 * Writes the attempt's files and adds what its environment gets: REEVE_CONNECTIONS, and with a
 * postgres connection PGSERVICEFILE and PGPASSFILE. Texts lie in the arena; *ret_folder too.
 * ERR_REFUSED: there is no memory to write to; ERR_INVALID: a document that cannot be read.
 */
int secrets_write(struct secrets *secrets, const struct msg_assign *assign,
    const struct task_user *user, struct arena *arena, struct slice *ret_folder,
    struct error *error);
/* The variables that go with it; `env` has room for SECRETS_VARIABLES more. */
enum { SECRETS_VARIABLES = 3 };
void secrets_add_env(
    struct slice folder, const struct texts *own, struct texts *env, struct arena *arena);
void secrets_remove(struct secrets *secrets, const struct attempt_id *id);
/* Those of attempts that nobody knows any more. */
void secrets_clean(struct secrets *secrets,
    bool (*known)(void *context, const struct attempt_id *id), void *context);

#endif
