#include "common/json_memory.h"

#include "common/memory.h"

#include <jansson.h>
#include <stdlib.h>

void json_memory_start(void)
{
    json_set_alloc_funcs(xmalloc, free);
}
