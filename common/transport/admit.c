#include "common/transport/internal.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * ZAP (ZeroMQ RFC 27): libzmq's own thread asks this endpoint about each handshake of a socket that
 * has a ZAP domain. One handler a process, since the endpoint is one: hence the one static. Its
 * thread does nothing else, so that a loop that is busy lets nobody wait at the door.
 */

static const char zap_endpoint[] = "inproc://zeromq.zap.01";
static const char zap_version[] = "1.0";
static const char zap_mechanism[] = "CURVE";

/* The parts of a request, in their order. */
enum part {
    PART_VERSION,
    PART_REQUEST,
    PART_DOMAIN,
    PART_ADDRESS,
    PART_IDENTITY,
    PART_MECHANISM,
    PART_KEY,
    PART_COUNT
};

struct request {
    zmq_msg_t parts[PART_COUNT];
    int count; /* that came; more than PART_COUNT are counted, not kept */
};

static struct {
    transport_admit_fn admit;
    void *context;
    void *socket; /* NULL: not started; its thread's while that runs */
    int stop_fd;
    pthread_t thread;
} admission;

static struct slice part_of(struct request *request, enum part part)
{
    return slice_make(zmq_msg_data(&request->parts[part]), zmq_msg_size(&request->parts[part]));
}

static bool part_is(struct request *request, enum part part, const char *text)
{
    return slice_is(part_of(request, part), text);
}

/* False when none waits. */
static bool request_receive(struct request *request)
{
    bool more = true;
    for (; more; request->count++) {
        zmq_msg_t part;
        (void)zmq_msg_init(&part);
        if (zmq_msg_recv(&part, admission.socket, ZMQ_DONTWAIT) < 0) {
            (void)zmq_msg_close(&part);
            return false;
        }
        more = zmq_msg_more(&part);
        if (request->count < PART_COUNT)
            (void)zmq_msg_move(&request->parts[request->count], &part);
        (void)zmq_msg_close(&part);
    }
    return true;
}

static void reply(struct request *request, bool admitted)
{
    char user_id[HEX_TEXT_SIZE(KEY_BYTES)] = "";
    if (admitted)
        hex_encode(part_of(request, PART_KEY).ptr, KEY_BYTES, user_id);
    const struct slice parts[] = {
        slice_of(zap_version), part_of(request, PART_REQUEST), slice_of(admitted ? "200" : "400"),
        slice_of(admitted ? "" : "this key is not known here"), slice_of(user_id),
        slice_of(""), /* no metadata */
    };
    enum { COUNT = sizeof parts / sizeof parts[0] };
    for (int i = 0; i < COUNT; i++)
        (void)zmq_send(admission.socket, parts[i].ptr, parts[i].length,
            ZMQ_DONTWAIT | (i + 1 < COUNT ? ZMQ_SNDMORE : 0));
}

static bool request_is_admitted(struct request *request)
{
    if (request->count != PART_COUNT || !part_is(request, PART_VERSION, zap_version) ||
        !part_is(request, PART_MECHANISM, zap_mechanism) ||
        !part_is(request, PART_DOMAIN, TRANSPORT_ZAP_DOMAIN) ||
        part_of(request, PART_KEY).length != KEY_BYTES)
        return false;
    char address[TRANSPORT_ADDRESS_MAX];
    struct slice text = part_of(request, PART_ADDRESS);
    (void)snprintf(address, sizeof address, "%.*s", SLICE_PRINT(text));
    unsigned char key[KEY_BYTES];
    memcpy(key, part_of(request, PART_KEY).ptr, KEY_BYTES);
    return admission.admit(admission.context, key, transport_plain_address(address));
}

static bool answer_one(void)
{
    struct request request = {.count = 0};
    for (int i = 0; i < PART_COUNT; i++)
        (void)zmq_msg_init(&request.parts[i]);
    bool received = request_receive(&request);
    if (received)
        reply(&request, request_is_admitted(&request));
    for (int i = 0; i < PART_COUNT; i++)
        (void)zmq_msg_close(&request.parts[i]);
    return received;
}

static void *answer(void *context)
{
    (void)context;
    zmq_pollitem_t items[] = {
        {.socket = admission.socket, .events = ZMQ_POLLIN},
        {.fd = admission.stop_fd, .events = ZMQ_POLLIN},
    };
    while ((items[1].revents & ZMQ_POLLIN) == 0) {
        (void)answer_one();
        (void)zmq_poll(items, 2, -1);
    }
    /* Handshakes that wait for an answer time out; new ones fail, since nobody can be asked. */
    (void)zmq_unbind(admission.socket, zap_endpoint);
    (void)zmq_close(admission.socket);
    return NULL;
}

/* With every signal blocked: they are the loop's. */
static int start_thread(void)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&admission.thread, NULL, answer, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int transport_admit_start(transport_admit_fn admit, void *context, struct error *error)
{
    assert(admission.socket == NULL);
    admission.admit = admit;
    admission.context = context;
    admission.stop_fd = eventfd(0, EFD_CLOEXEC);
    if (admission.stop_fd < 0)
        return error_set_errno(error, ERR_IO, errno, "eventfd");
    void *socket = zmq_socket(zsys_init(), ZMQ_REP);
    int linger = 0;
    int failed = 0;
    if (socket == NULL || zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
        zmq_bind(socket, zap_endpoint) != 0) {
        failed = errno;
        goto out;
    }
    admission.socket = socket;
    failed = start_thread();
out:
    if (failed == 0)
        return 0;
    if (socket != NULL)
        (void)zmq_close(socket);
    admission.socket = NULL;
    (void)close(admission.stop_fd);
    return error_set_errno(error, ERR_IO, failed, "%s", zap_endpoint);
}

void transport_admit_stop(void)
{
    const uint64_t one = 1;
    if (admission.socket == NULL)
        return;
    ssize_t written = write(admission.stop_fd, &one, sizeof one);
    assert(written == sizeof one);
    (void)written;
    (void)pthread_join(admission.thread, NULL);
    (void)close(admission.stop_fd);
    admission.socket = NULL;
}

bool transport_admits(void)
{
    return admission.socket != NULL;
}

const char *transport_plain_address(const char *address)
{
    static const char mapped[] = "::ffff:";
    bool is_mapped =
        strncmp(address, mapped, sizeof mapped - 1) == 0 && strchr(address, '.') != NULL;
    return is_mapped ? address + sizeof mapped - 1 : address;
}
