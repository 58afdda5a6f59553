#include "operators/spark/scan.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* Copies the word of `allowed` characters that begins with `prefix` and has a digit right after it;
 * true when it is new. */
static bool take_id(
    const char *line, const char *prefix, const char *allowed, char *ret, size_t size)
{
    size_t skip = strlen(prefix);
    for (const char *at = line; (at = strstr(at, prefix)) != NULL; at += skip) {
        size_t length = skip + strspn(at + skip, allowed);
        if ((at > line && is_word(at[-1])) || !isdigit((unsigned char)at[skip]) || length >= size ||
            is_word(at[length]))
            continue;
        bool fresh = strlen(ret) != length || memcmp(ret, at, length) != 0;
        memcpy(ret, at, length);
        ret[length] = '\0';
        return fresh;
    }
    return false;
}

/* The first id stands: an application's own output may name others. */
static bool take_application(struct scan *scan, const char *line)
{
    if (scan->application[0] != '\0')
        return false;
    return take_id(
               line, "application_", "0123456789_", scan->application, sizeof scan->application) ||
           take_id(line, "app-", "0123456789-", scan->application, sizeof scan->application) ||
           (strstr(line, "app ID") != NULL &&
               take_id(line, "local-", "0123456789", scan->application, sizeof scan->application));
}

static bool take_driver(struct scan *scan, const char *line)
{
    return scan->driver[0] == '\0' &&
           take_id(line, "driver-", "0123456789-", scan->driver, sizeof scan->driver);
}

/* "pod name: shop-5f1-driver" */
static bool take_pod(struct scan *scan, const char *line)
{
    const char *at = strstr(line, "pod name: ");
    if (at == NULL || scan->pod[0] != '\0')
        return false;
    at += strlen("pod name: ");
    size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789-.");
    if (length == 0 || length >= sizeof scan->pod)
        return false;
    memcpy(scan->pod, at, length);
    scan->pod[length] = '\0';
    return true;
}

/* "Bound SparkUI to 0.0.0.0, and started at http://driver.example.com:4040", or "Successfully
 * started service 'SparkUI' on port 4040." */
static bool take_page(struct scan *scan, const char *line)
{
    if (scan->ui[0] != '\0' || strstr(line, "SparkUI") == NULL)
        return false;
    const char *at = strstr(line, "started at http");
    if (at != NULL) {
        at += strlen("started at ");
        size_t length = strcspn(at, " \t\r\n,");
        if (length >= sizeof scan->ui)
            return false;
        memcpy(scan->ui, at, length);
        scan->ui[length] = '\0';
        return true;
    }
    int port;
    at = strstr(line, "'SparkUI' on port ");
    if (at == NULL || sscanf(at, "'SparkUI' on port %d", &port) != 1 || port < 1 || port > 65535)
        return false;
    (void)snprintf(scan->ui, sizeof scan->ui, "http://127.0.0.1:%d", port);
    return true;
}

/* "java.lang.ArithmeticException: / by zero", "ZeroDivisionError: …", behind "Caused by: " or
 * "Exception in thread …": a word that ends so, and then its end or a colon. */
static bool is_exception(const char *line)
{
    static const char *const ends[] = {"Exception", "Error"};
    if (line[0] == '\t' || strstr(line, "WARN") != NULL)
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        for (const char *at = line; (at = strstr(at, ends[i])) != NULL; at++) {
            const char *after = at + strlen(ends[i]);
            if ((*after == ':' || *after == '\0') && (at == line || at[-1] != ' '))
                return true;
        }
    }
    return false;
}

static void keep(char *place, size_t size, const char *line)
{
    size_t length = strlen(line);
    if (length >= size)
        length = size - 1;
    memcpy(place, line, length);
    place[length] = '\0';
}

/* "26/11/24 01:50:13 INFO SparkContext: …", as Spark's own log4j2.properties writes it. */
static bool is_log(const char *at)
{
    static const char shape[] = "00/00/00 00:00:00 ";
    for (size_t i = 0; shape[i] != '\0'; i++) {
        if (shape[i] == '0' ? !isdigit((unsigned char)at[i]) : at[i] != shape[i])
            return false;
    }
    at += sizeof shape - 1;
    size_t level = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return level >= strlen("INFO") && level <= strlen("ERROR") && at[level] == ' ';
}

/* Where Spark's log cut into the line, else NULL: Spark runs Python unbuffered, which writes a text
 * and its end of line apart, and the JVM writes to the same pipe. */
static const char *find_cut(const char *line)
{
    for (const char *at = line; *at != '\0'; at++) {
        if (at != line && is_log(at))
            return at;
    }
    return NULL;
}

static bool take_text(struct scan *scan, const char *line)
{
    bool fresh = take_application(scan, line);
    fresh |= take_driver(scan, line);
    fresh |= take_pod(scan, line);
    fresh |= take_page(scan, line);
    scan->refused |= strstr(line, "All masters are unresponsive") != NULL;
    scan->starved |= strstr(line, "Initial job has not accepted any resources") != NULL;
    if (is_exception(line))
        keep(scan->error, sizeof scan->error, line);
    if (line[strspn(line, " \t")] != '\0')
        keep(scan->last, sizeof scan->last, line);
    return fresh;
}

/* What stood before a cut stays: the line goes on behind the log's. */
static bool take_line(struct scan *scan)
{
    size_t length = scan->length;
    while (length > 0 && isspace((unsigned char)scan->line[length - 1]))
        length--;
    scan->line[length] = '\0';
    const char *cut = find_cut(scan->line);
    scan->length = cut != NULL ? (size_t)(cut - scan->line) : 0;
    return take_text(scan, cut != NULL ? cut : scan->line);
}

bool scan_take(struct scan *scan, struct slice bytes)
{
    bool fresh = false;
    for (size_t i = 0; i < bytes.length; i++) {
        char c = ((const char *)bytes.ptr)[i];
        if (c == '\n')
            fresh |= take_line(scan);
        else if (scan->length < sizeof scan->line - 1)
            scan->line[scan->length++] = c != '\0' ? c : ' ';
    }
    return fresh;
}

const char *scan_reason(const struct scan *scan)
{
    if (scan->refused)
        return "no master answers, or it refuses: All masters are unresponsive";
    return scan->error[0] != '\0' ? scan->error : scan->last;
}
