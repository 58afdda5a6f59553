/*
 * Frames through one bound and one connected socket, echoed, each side a thread with a loop of its
 * own: what the transport can carry at most, and how long one frame's way there and back takes.
 * Once over ipc, once over tcp with CURVE, and what the latter is of the former.
 */
#include "common/hash.h"
#include "common/loop.h"
#include "common/transport/transport.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct server {
    struct loop *loop;
    struct transport *transport;
};

struct round {
    const char *name;
    size_t frame_bytes;
    uint64_t frames;
    uint64_t window; /* frames under way at a time */
};

struct client {
    struct loop *loop;
    struct transport *transport;
    const struct round *round;
    char *bytes;
    uint64_t sent, received;
};

static void die(const char *what, const struct error *error)
{
    (void)fprintf(stderr, "%s: %s\n", what, error->text);
    exit(1);
}

/* An empty frame ends the server. */
static void on_server_frame(void *context, transport_peer peer, struct slice frame)
{
    struct server *server = context;
    if (frame.length == 0)
        loop_stop(server->loop);
    else
        transport_send(server->transport, peer, frame);
}

static void *serve(void *context)
{
    struct server *server = context;
    loop_run(server->loop);
    transport_destroy(server->transport);
    return NULL;
}

static void send_more(struct client *client)
{
    while (client->sent < client->round->frames &&
           client->sent - client->received < client->round->window) {
        transport_send(client->transport, 0, slice_make(client->bytes, client->round->frame_bytes));
        client->sent++;
    }
}

static void on_client_frame(void *context, transport_peer peer, struct slice frame)
{
    struct client *client = context;
    (void)peer;
    (void)frame;
    client->received++;
    if (client->received == client->round->frames)
        loop_stop(client->loop);
    else
        send_more(client);
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Frames a second; prints them, and what they are of `other` when that is not 0. */
static double measure(struct client *client, const struct round *round, double other)
{
    client->round = round;
    client->sent = 0;
    client->received = 0;
    double start_s = seconds_of(CLOCK_MONOTONIC),
           start_cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    send_more(client);
    loop_run(client->loop);
    double took_s = seconds_of(CLOCK_MONOTONIC) - start_s;
    double cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start_cpu_s;
    double rate = (double)round->frames / took_s;
    (void)printf("%-28s %9.0f frames/s %9.1f MB/s each way %7.1f us of processor", round->name,
        rate, rate * (double)round->frame_bytes / 1e6, cpu_s / (double)round->frames * 1e6);
    if (round->window == 1)
        (void)printf(" %7.1f us there and back", took_s / (double)round->frames * 1e6);
    if (other > 0)
        (void)printf("  %3.0f%%", rate / other * 100);
    (void)printf("\n");
    return rate;
}

static const struct round rounds[] = {
    {"64 bytes, 500 under way", 64, 1000000, 500},
    {"1 KiB, 500 under way", 1024, 500000, 500},
    {"64 KiB, 64 under way", 64 * 1024, 50000, 64},
    {"1 MiB, 8 under way", 1024 * 1024, 2000, 8},
    {"64 bytes, one at a time", 64, 30000, 1},
    {"64 KiB, one at a time", 64 * 1024, 10000, 1},
};
enum { ROUNDS = sizeof rounds / sizeof rounds[0] };

/* Both ends are there; `others` are the rates to compare with, and become these. */
static void measure_all(struct server *server, struct client *client, double others[ROUNDS])
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve, server) != 0)
        exit(1);
    for (size_t i = 0; i < ROUNDS; i++)
        others[i] = measure(client, &rounds[i], others[i]);
    transport_send(client->transport, 0, slice_make(NULL, 0));
    (void)pthread_join(thread, NULL);
    transport_destroy(client->transport);
}

static void measure_ipc(struct server *server, struct client *client, double others[ROUNDS])
{
    char folder[] = "/tmp/reeve-XXXXXX";
    char endpoint[64];
    struct error error = {0};
    if (mkdtemp(folder) == NULL)
        exit(1);
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/socket", folder);
    if (transport_bind(
            server->loop, endpoint, on_server_frame, server, &server->transport, &error) != 0 ||
        transport_connect(
            client->loop, endpoint, on_client_frame, client, &client->transport, &error) != 0)
        die(endpoint, &error);
    (void)printf("ipc\n");
    measure_all(server, client, others);
    (void)unlink(endpoint + strlen("ipc://"));
    (void)rmdir(folder);
}

static bool admit(void *context, const unsigned char key[KEY_BYTES], const char *address)
{
    (void)address;
    return memcmp(key, ((struct key_pair *)context)->public_key, KEY_BYTES) == 0;
}

static void measure_curve(struct server *server, struct client *client, double others[ROUNDS])
{
    struct key_pair server_keys, client_keys;
    char endpoint[64];
    struct error error = {0};
    hash_start();
    key_pair_make(&server_keys);
    key_pair_make(&client_keys);
    const struct transport_place bound = {"tcp://127.0.0.1:0", &server_keys, NULL};
    const struct transport_place connected = {endpoint, &client_keys, server_keys.public_key};
    if (transport_admit_start(admit, &client_keys, &error) != 0 ||
        transport_bind_curve(
            server->loop, &bound, on_server_frame, server, &server->transport, &error) != 0)
        die("server", &error);
    (void)snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u",
        (unsigned)transport_port(server->transport));
    if (transport_connect_curve(
            client->loop, &connected, on_client_frame, client, &client->transport, &error) != 0)
        die("client", &error);
    (void)printf("tcp with CURVE (and what it is of ipc)\n");
    measure_all(server, client, others);
    transport_admit_stop();
}

int main(void)
{
    static char bytes[1024 * 1024];
    double rates[ROUNDS] = {0};
    struct error error = {0};
    struct server server = {0};
    struct client client = {.bytes = bytes};
    transport_start();
    if (loop_create(&server.loop, &error) != 0 || loop_create(&client.loop, &error) != 0)
        die("loop", &error);
    measure_ipc(&server, &client, rates);
    measure_curve(&server, &client, rates);
    loop_destroy(client.loop);
    loop_destroy(server.loop);
    transport_stop();
    return 0;
}
