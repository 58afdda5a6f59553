#include "worker/io/load.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

enum { FILE_MAX_BYTES = 1024 * 1024 };

/* The whole text of a small file below `root`; false when it cannot be had. */
static bool read_text(const char *root, const char *name, struct buffer *text)
{
    char *path = xasprintf("%s/%s", root, name);
    buffer_clear(text);
    int rc = file_read(path, FILE_MAX_BYTES, text, NULL);
    free(path);
    return rc == 0;
}

/* The number behind a line's first word, or `otherwise`. */
static uint64_t value_of(struct buffer *text, const char *word, uint64_t otherwise)
{
    uint64_t value;
    size_t length = strlen(word);
    const char *line = buffer_text(text);
    while (line != NULL) {
        if (strncmp(line, word, length) == 0 && sscanf(line + length, " %" SCNu64, &value) == 1)
            return value;
        line = strchr(line, '\n');
        line += line != NULL;
    }
    return otherwise;
}

/* A clock that has not moved since says nothing of how long the part took: then any is all. */
static uint32_t permille(uint64_t part, uint64_t whole)
{
    if (part == 0)
        return 0;
    return part >= whole ? 1000 : (uint32_t)(part * 1000 / whole);
}

/* ---- the host ---- */

static void read_cpus(struct load_meter *meter, struct buffer *text, struct agent_load *load)
{
    uint64_t user, nice, system, idle, wait, irq, softirq, steal;
    if (!read_text(meter->proc, "stat", text) ||
        sscanf(buffer_text(text),
            "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
            " %" SCNu64,
            &user, &nice, &system, &idle, &wait, &irq, &softirq, &steal) != 8)
        return;
    for (const char *line = strstr(text->data, "\ncpu"); line != NULL;
         line = strstr(line + 1, "\ncpu"))
        load->cpus++;
    uint64_t busy = user + nice + system + irq + softirq + steal;
    uint64_t total = busy + idle + wait;
    if (meter->total != 0 && busy >= meter->busy && total >= meter->total)
        load->cpu_permille = permille(busy - meter->busy, total - meter->total);
    meter->busy = busy;
    meter->total = total;
}

static void read_memory(
    const struct load_meter *meter, struct buffer *text, struct agent_load *load)
{
    if (!read_text(meter->proc, "meminfo", text))
        return;
    uint64_t total = value_of(text, "MemTotal:", 0);
    uint64_t available = value_of(text, "MemAvailable:", total);
    load->memory_bytes = total * 1024;
    load->memory_used = available < total ? (total - available) * 1024 : 0;
}

static void read_disk(const struct load_meter *meter, struct agent_load *load)
{
    struct statvfs disk;
    if (statvfs(meter->folder, &disk) != 0)
        return;
    /* Without what is kept back for root, as df counts. */
    load->disk_bytes = (uint64_t)(disk.f_blocks - (disk.f_bfree - disk.f_bavail)) * disk.f_frsize;
    load->disk_free = (uint64_t)disk.f_bavail * disk.f_frsize;
}

/* ---- the cgroup ---- */

static void bound_memory(const char *group, struct buffer *text, struct agent_load *load)
{
    char *end;
    if (!read_text(group, "memory.max", text))
        return;
    uint64_t most = strtoull(buffer_text(text), &end, 10);
    /* "max" is no number. */
    if (end == text->data || most >= load->memory_bytes)
        return;
    uint64_t used = 0, cached = 0;
    if (read_text(group, "memory.current", text))
        used = strtoull(buffer_text(text), NULL, 10);
    /* What the kernel would give back at need, as MemAvailable counts it. */
    if (read_text(group, "memory.stat", text))
        cached = value_of(text, "inactive_file", 0);
    load->memory_bytes = most;
    load->memory_used = used > cached ? used - cached : 0;
}

/* Of several bounds, one in another, the tightest counts. */
static void bound_cpus(
    struct load_meter *meter, const char *group, struct buffer *text, struct agent_load *load)
{
    uint64_t quota, period;
    if (!read_text(group, "cpu.max", text) ||
        sscanf(buffer_text(text), "%" SCNu64 " %" SCNu64, &quota, &period) != 2 || period == 0 ||
        quota / period >= load->cpus || !read_text(group, "cpu.stat", text))
        return;
    uint64_t used_us = value_of(text, "usage_usec", 0);
    uint64_t at_us = clock_boot_ms() * 1000;
    load->cpus = (uint32_t)((quota + period - 1) / period);
    load->cpu_permille = 0;
    if (meter->at_us != 0 && used_us >= meter->used_us)
        load->cpu_permille =
            permille(used_us - meter->used_us, (at_us - meter->at_us) * quota / period);
    meter->used_us = used_us;
    meter->at_us = at_us;
}

/* Ours and those that it lies in, up to the root of the tree that we see. */
static void read_bounds(struct load_meter *meter, struct buffer *text, struct agent_load *load)
{
    char own[1024];
    if (!read_text(meter->proc, "self/cgroup", text))
        return;
    const char *line =
        strncmp(buffer_text(text), "0::", 3) == 0 ? text->data : strstr(text->data, "\n0::");
    if (line == NULL || sscanf(line + (*line == '\n'), "0::%1023[^\n]", own) != 1)
        return;
    char *group = xasprintf("%s%s", meter->cgroup, strcmp(own, "/") == 0 ? "" : own);
    size_t root = strlen(meter->cgroup);
    while (strlen(group) >= root) {
        bound_memory(group, text, load);
        bound_cpus(meter, group, text, load);
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            break;
        *slash = '\0';
    }
    free(group);
}

void load_read(struct load_meter *meter, struct agent_load *ret_load)
{
    struct buffer text = {0};
    *ret_load = (struct agent_load){0};
    read_cpus(meter, &text, ret_load);
    read_memory(meter, &text, ret_load);
    read_disk(meter, ret_load);
    read_bounds(meter, &text, ret_load);
    buffer_fini(&text);
}
