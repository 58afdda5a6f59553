/*
 * Frames through one bound and one connected socket, echoed, each side a thread with a loop of its
 * own: what the transport can carry at most, and how long one frame's way there and back takes.
 */
#include "common/loop.h"
#include "common/transport.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct server {
    const char *endpoint;
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
    struct error error = {0};
    if (loop_create(&server->loop, &error) != 0 ||
        transport_bind(server->loop, server->endpoint, on_server_frame, server, &server->transport,
            &error) != 0)
        die("server", &error);
    loop_run(server->loop);
    transport_destroy(server->transport);
    loop_destroy(server->loop);
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

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void measure(struct client *client, const struct round *round)
{
    client->round = round;
    client->sent = 0;
    client->received = 0;
    double start_s = now_s();
    send_more(client);
    loop_run(client->loop);
    double took_s = now_s() - start_s;
    double rate = (double)round->frames / took_s;
    (void)printf("%-28s %9.0f frames/s %9.1f MB/s each way", round->name, rate,
        rate * (double)round->frame_bytes / 1e6);
    if (round->window == 1)
        (void)printf(" %7.1f us there and back", took_s / (double)round->frames * 1e6);
    (void)printf("\n");
}

int main(void)
{
    static const struct round rounds[] = {
        {"64 bytes, 500 under way", 64, 1000000, 500},
        {"1 KiB, 500 under way", 1024, 500000, 500},
        {"64 KiB, 64 under way", 64 * 1024, 50000, 64},
        {"1 MiB, 8 under way", 1024 * 1024, 2000, 8},
        {"64 bytes, one at a time", 64, 30000, 1},
        {"64 KiB, one at a time", 64 * 1024, 10000, 1},
    };
    char folder[] = "/tmp/reeve-XXXXXX";
    char endpoint[64];
    struct error error = {0};
    if (mkdtemp(folder) == NULL)
        return 1;
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/socket", folder);
    transport_start();
    struct server server = {.endpoint = endpoint};
    struct client client = {.bytes = calloc(1, 1024 * 1024)};
    pthread_t thread;
    if (client.bytes == NULL || pthread_create(&thread, NULL, serve, &server) != 0)
        return 1;
    if (loop_create(&client.loop, &error) != 0 ||
        transport_connect(
            client.loop, endpoint, on_client_frame, &client, &client.transport, &error) != 0)
        die("client", &error);
    for (size_t i = 0; i < sizeof rounds / sizeof rounds[0]; i++)
        measure(&client, &rounds[i]);
    transport_send(client.transport, 0, slice_make(NULL, 0));
    (void)pthread_join(thread, NULL);
    transport_destroy(client.transport);
    loop_destroy(client.loop);
    transport_stop();
    free(client.bytes);
    (void)rmdir(folder);
    return 0;
}
