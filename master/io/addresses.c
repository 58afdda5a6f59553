#include "master/io/addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int address_parse(const char *text, struct endpoint *ret_address, struct error *error)
{
    const char *bracket = strrchr(text, ']'), *slash = strrchr(text, '/');
    const char *host = bracket != NULL ? bracket : slash != NULL ? slash : text;
    char whole[ENDPOINT_TEXT_MAX + 8];
    if (slash != NULL && strchr(host, ':') == NULL && strlen(text) < ENDPOINT_TEXT_MAX) {
        (void)snprintf(whole, sizeof whole, "%s:%d", text, PORT_DEFAULT);
        text = whole;
    }
    struct endpoint address;
    int rc = endpoint_parse(text, &address, error);
    if (rc == 0 && (address.port == 0 || address.port == UINT16_MAX))
        rc = error_set(error, ERR_USAGE,
            "%s: the port is one from 1 to 65534, since the next one is taken too", text);
    if (rc == 0)
        *ret_address = address;
    return rc;
}

bool address_is_wildcard(const struct endpoint *address)
{
    return strcmp(address->host, "*") == 0 || strcmp(address->host, "0.0.0.0") == 0 ||
           strcmp(address->host, "::") == 0;
}

struct slice address_text(const struct endpoint *address, uint16_t offset, struct arena *arena)
{
    struct endpoint moved = *address;
    char text[ENDPOINT_TEXT_MAX];
    moved.port = (uint16_t)(address->port + offset);
    endpoint_text(&moved, text);
    return arena_copy(arena, slice_of(text));
}

/* An address that others can use, as text; false: it is none. */
static bool host_of(const struct ifaddrs *one, char host[ENDPOINT_HOST_MAX + 1])
{
    if (one->ifa_addr == NULL || (one->ifa_flags & IFF_UP) == 0 ||
        (one->ifa_flags & IFF_LOOPBACK) != 0)
        return false;
    if (one->ifa_addr->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, one->ifa_addr, sizeof four);
        return inet_ntop(AF_INET, &four.sin_addr, host, ENDPOINT_HOST_MAX) != NULL;
    }
    if (one->ifa_addr->sa_family != AF_INET6)
        return false;
    struct sockaddr_in6 six;
    memcpy(&six, one->ifa_addr, sizeof six);
    return !IN6_IS_ADDR_LINKLOCAL(&six.sin6_addr) &&
           inet_ntop(AF_INET6, &six.sin6_addr, host, ENDPOINT_HOST_MAX) != NULL;
}

/* One place is left for the host's name. IPv6 addresses come after the others. */
static void add_interfaces(struct texts *texts, const struct ifaddrs *all, bool six,
    struct endpoint *address, struct arena *arena)
{
    for (const struct ifaddrs *one = all; one != NULL; one = one->ifa_next) {
        if (texts->count < ADDRESSES_MAX - 1 && host_of(one, address->host) &&
            (strchr(address->host, ':') != NULL) == six)
            texts->items[texts->count++] = address_text(address, 0, arena);
    }
}

struct texts address_list(const struct endpoint *listen, struct arena *arena)
{
    struct texts texts = {.items = arena_alloc(arena, ADDRESSES_MAX * sizeof(struct slice))};
    struct endpoint address = *listen;
    struct ifaddrs *all = NULL;
    if (!address_is_wildcard(listen)) {
        texts.items[texts.count++] = address_text(listen, 0, arena);
        return texts;
    }
    if (getifaddrs(&all) == 0) {
        add_interfaces(&texts, all, false, &address, arena);
        if (strcmp(listen->host, "0.0.0.0") != 0)
            add_interfaces(&texts, all, true, &address, arena);
        freeifaddrs(all);
    }
    /* Last: a name that this host has is not always known to others. */
    if (gethostname(address.host, sizeof address.host - 1) == 0)
        texts.items[texts.count++] = address_text(&address, 0, arena);
    return texts;
}
