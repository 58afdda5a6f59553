/* Any bytes as a DAG file: a plan that opens, or at least one mistake; in bounded time. */
#include "common/dag/compile.h"
#include "common/dag/plan.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    struct buffer bytes = {0};
    struct buffer shown = {0};
    struct diagnostics diagnostics = {0};
    struct plan plan;
    (void)dag_is_dag(text);
    int result = dag_compile(text, "fuzz.yaml", &bytes, &diagnostics);
    require((result == 0) == (diagnostics.errors == 0));
    require((result == 0) == (bytes.length > 0));
    if (result == 0)
        require(plan_open(buffer_slice(&bytes), &plan, NULL) == 0);
    for (size_t i = 0; i < diagnostics.count; i++) {
        const struct diagnostic *item = &diagnostics.items[i];
        require(item->message[0] != '\0' && item->caret <= 200);
    }
    diagnostics_print(&diagnostics, "fuzz.yaml", &shown);
    diagnostics_fini(&diagnostics);
    buffer_fini(&shown);
    buffer_fini(&bytes);
    return 0;
}
