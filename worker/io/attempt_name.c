#include "worker/io/attempt_name.h"

#include <inttypes.h>
#include <stdio.h>

void attempt_name(const struct attempt_id *id, char name[ATTEMPT_NAME_MAX])
{
    (void)snprintf(name, ATTEMPT_NAME_MAX, "%016" PRIx64 ".%" PRIu32 ".%" PRIu32 ".%" PRIu32,
        id->run, id->task, id->map, id->attempt);
}

bool attempt_name_parse(const char *name, struct attempt_id *ret_id)
{
    struct attempt_id id = {0};
    char again[ATTEMPT_NAME_MAX];
    if (sscanf(name, "%16" SCNx64 ".%10" SCNu32 ".%10" SCNu32 ".%10" SCNu32, &id.run, &id.task,
            &id.map, &id.attempt) != 4)
        return false;
    attempt_name(&id, again);
    if (strcmp(again, name) != 0)
        return false;
    *ret_id = id;
    return true;
}
