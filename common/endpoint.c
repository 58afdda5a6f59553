#include "common/endpoint.h"

#include <stdio.h>
#include <string.h>

static const char prefix[] = "tcp://";

/* Letters that names and addresses are made of; what ZeroMQ would read as more than a host is none
 * of them. */
static bool host_is_sane(const char *host, size_t length, bool bracketed)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    if (length == 0 || length > ENDPOINT_HOST_MAX)
        return false;
    if (!bracketed && length == 1 && host[0] == '*')
        return true;
    for (size_t i = 0; i < length; i++) {
        bool fine =
            strchr(letters, host[i]) != NULL || (bracketed && strchr(":%", host[i]) != NULL);
        if (host[i] == '\0' || !fine)
            return false;
    }
    return !bracketed || memchr(host, ':', length) != NULL;
}

/* -1 unless it is a decimal number up to 65535. */
static int port_of(const char *text)
{
    int port = 0;
    if (*text == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        port = port * 10 + (*text - '0');
        if (port > UINT16_MAX)
            return -1;
    }
    return port;
}

int endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct error *error)
{
    if (strncmp(text, prefix, sizeof prefix - 1) != 0)
        return error_set(error, ERR_USAGE, "%s: no tcp://HOST:PORT", text);
    const char *host = text + sizeof prefix - 1;
    const char *colon = strrchr(host, ':');
    int port = colon != NULL ? port_of(colon + 1) : -1;
    if (port < 0)
        return error_set(error, ERR_USAGE,
            "%s: no port from 0 to 65535 at its end, as in tcp://HOST:7411", text);
    size_t length = (size_t)(colon - host);
    bool bracketed = length >= 2 && host[0] == '[' && host[length - 1] == ']';
    if (bracketed) {
        host++;
        length -= 2;
    }
    if (!host_is_sane(host, length, bracketed))
        return error_set(error, ERR_USAGE,
            "%s: no host name, IPv4 address, [IPv6 address] or * before the port", text);
    memcpy(ret_endpoint->host, host, length);
    ret_endpoint->host[length] = '\0';
    ret_endpoint->port = (uint16_t)port;
    return 0;
}

void endpoint_text(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_MAX])
{
    bool bracketed = strchr(endpoint->host, ':') != NULL;
    (void)snprintf(text, ENDPOINT_TEXT_MAX, bracketed ? "tcp://[%s]:%u" : "tcp://%s:%u",
        endpoint->host, (unsigned)endpoint->port);
}

bool endpoint_is_definite(const struct endpoint *endpoint)
{
    return strcmp(endpoint->host, "*") != 0 && endpoint->port != 0;
}
