#include "worker/io/uplink.h"

#include "common/clock.h"
#include "common/endpoint.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/random.h"
#include "common/stop_point.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    /* How long an address may be silent before the next is tried: it doubles with each round, up to
       the last. The master's heartbeat answers come each second. */
    PATIENCE_FIRST_MS = 4000,
    PATIENCE_LAST_MS = 32000,
    /* Of that for one that is known to be in trouble, where there is another. */
    TROUBLE_PART = 4,
    /* By so much more or less, so that a fleet does not come back at one moment. */
    JITTER_PERCENT = 25,
    TELL_AGAIN_MS = 300000,
};

struct uplink {
    struct uplink_config config;
    struct transport *transport;
    uint32_t address; /* of joined.addresses */
    uint64_t opened_ms;
    uint64_t asked_ms;             /* of the first frame since the last answer; 0: none is owed */
    uint64_t patience_ms, wait_ms; /* for this address, with its jitter */
    uint64_t tell_ms;              /* when the silence is told */
    bool told;
    bool renewed; /* this connection has not been heard on */
};

uint32_t uplink_address(const struct uplink *uplink)
{
    return uplink->address;
}

bool uplink_is_local(const struct uplink *uplink)
{
    return uplink->config.options->master != NULL;
}

const char *uplink_name(const struct uplink *uplink)
{
    const struct options *options = uplink->config.options;
    return options->master != NULL ? options->master : options->joined.addresses[uplink->address];
}

static uint64_t jittered(uint64_t ms)
{
    uint64_t width = ms * JITTER_PERCENT / 100;
    return ms - width + random_id() % (2 * width + 1);
}

/* ---- what was heard ---- */

static void on_frame(void *context, transport_peer peer, struct slice frame)
{
    struct uplink *uplink = context;
    if (uplink->told)
        log_info("%s answers after %" PRIu64 " s", uplink_name(uplink),
            (clock_boot_ms() - uplink->asked_ms) / 1000);
    uplink->told = false;
    uplink->asked_ms = 0;
    uplink->patience_ms = PATIENCE_FIRST_MS;
    if (uplink->renewed) {
        uplink->renewed = false;
        uplink->config.moved(uplink->config.context);
    }
    uplink->config.frame(uplink->config.context, peer, frame);
}

void uplink_send(struct uplink *uplink, struct slice frame)
{
    if (uplink->asked_ms == 0) {
        uplink->asked_ms = clock_boot_ms();
        uplink->tell_ms = uplink->asked_ms + PATIENCE_FIRST_MS;
    }
    stop_here(STOP_MASTER_TELLING);
    if (uplink->transport != NULL)
        transport_send(uplink->transport, 0, frame);
    stop_here(STOP_MASTER_TOLD);
}

/* ---- connecting ---- */

static int open_local(const struct uplink *uplink, const char *name, transport_frame_fn frame,
    void *context, struct transport **ret_transport, struct error *error)
{
    const struct uplink_config *config = &uplink->config;
    char *endpoint = xasprintf("ipc://%s/%s", config->options->master, name);
    int rc = transport_connect(config->loop, endpoint, frame, context, ret_transport, error);
    free(endpoint);
    return rc;
}

static int open_remote(const struct uplink *uplink, const char *endpoint, transport_frame_fn frame,
    void *context, struct transport **ret_transport, struct error *error)
{
    const struct uplink_config *config = &uplink->config;
    const struct transport_place place = {
        endpoint, config->keys, config->options->joined.server_key};
    return transport_connect_curve(config->loop, &place, frame, context, ret_transport, error);
}

int uplink_connect_bulk(void *context, transport_frame_fn frame, void *frame_context,
    struct transport **ret_transport, struct error *error)
{
    const struct uplink *uplink = context;
    struct endpoint endpoint;
    char text[ENDPOINT_TEXT_MAX];
    if (uplink_is_local(uplink))
        return open_local(uplink, "bulk.sock", frame, frame_context, ret_transport, error);
    int rc = endpoint_parse(uplink_name(uplink), &endpoint, error);
    if (rc != 0)
        return rc;
    endpoint.port++;
    endpoint_text(&endpoint, text);
    return open_remote(uplink, text, frame, frame_context, ret_transport, error);
}

static int connect(struct uplink *uplink, uint64_t now_ms, struct error *error)
{
    uplink->opened_ms = now_ms;
    uplink->wait_ms = jittered(uplink->patience_ms);
    if (uplink_is_local(uplink))
        return open_local(uplink, "worker.sock", on_frame, uplink, &uplink->transport, error);
    return open_remote(uplink, uplink_name(uplink), on_frame, uplink, &uplink->transport, error);
}

int uplink_open(const struct uplink_config *config, struct uplink **ret_uplink, struct error *error)
{
    struct uplink *uplink = xcalloc(1, sizeof *uplink);
    uplink->config = *config;
    uplink->patience_ms = PATIENCE_FIRST_MS;
    int rc = connect(uplink, clock_boot_ms(), error);
    if (rc != 0) {
        uplink_close(uplink);
        return rc;
    }
    *ret_uplink = uplink;
    return 0;
}

void uplink_close(struct uplink *uplink)
{
    if (uplink == NULL)
        return;
    transport_destroy(uplink->transport);
    free(uplink);
}

/* ---- silence ---- */

/* Why there is no connection, or NULL. */
static const char *trouble_of(const struct uplink *uplink)
{
    return uplink->transport != NULL ? transport_trouble(uplink->transport) : NULL;
}

static void tell(struct uplink *uplink, uint64_t now_ms)
{
    const char *trouble = trouble_of(uplink);
    log_warn("no answer from %s; trying again", trouble != NULL ? trouble : uplink_name(uplink));
    uplink->told = true;
    uplink->tell_ms = now_ms + TELL_AGAIN_MS;
}

/* Also when there is but one: what its dead connection still holds is not worth waiting for. */
static void go_on(struct uplink *uplink, uint64_t now_ms)
{
    struct error error = {0};
    transport_destroy(uplink->transport);
    uplink->transport = NULL;
    uplink->renewed = true;
    uplink->address = (uplink->address + 1) % uplink->config.options->joined.address_count;
    if (uplink->address == 0 && uplink->patience_ms < PATIENCE_LAST_MS)
        uplink->patience_ms *= 2;
    if (connect(uplink, now_ms, &error) != 0)
        log_warn("%s", error.text);
}

bool uplink_is_denied(const struct uplink *uplink)
{
    return uplink->transport != NULL && transport_is_denied(uplink->transport);
}

static uint64_t next_ms(const struct uplink *uplink)
{
    uint64_t since = uplink->opened_ms > uplink->asked_ms ? uplink->opened_ms : uplink->asked_ms;
    if (uplink_is_local(uplink))
        return UINT64_MAX;
    bool others = uplink->config.options->joined.address_count > 1;
    return since + (others && trouble_of(uplink) != NULL ? uplink->wait_ms / TROUBLE_PART
                                                         : uplink->wait_ms);
}

void uplink_tick(struct uplink *uplink, uint64_t now_ms)
{
    if (uplink->asked_ms == 0)
        return;
    /* What is only slow gets its time before a person reads of it. */
    if (now_ms >= uplink->tell_ms || (!uplink->told && trouble_of(uplink) != NULL))
        tell(uplink, now_ms);
    if (now_ms >= next_ms(uplink))
        go_on(uplink, now_ms);
}

uint64_t uplink_due_ms(const struct uplink *uplink)
{
    if (uplink->asked_ms == 0)
        return UINT64_MAX;
    return uplink->tell_ms < next_ms(uplink) ? uplink->tell_ms : next_ms(uplink);
}
