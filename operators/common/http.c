#include "operators/common/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { TIMEOUT_MS = 5000, BODY_MAX_BYTES = 16 * 1024 * 1024 };

static size_t take(char *bytes, size_t size, size_t count, void *context)
{
    struct buffer *body = context;
    size_t length = size * count;
    if (body->length + length > BODY_MAX_BYTES)
        return 0;
    buffer_append(body, bytes, length);
    return length;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *context)
{
    static const char name[] = "server:";
    char *server = context;
    size_t length = size * count, skip = sizeof name - 1;
    if (length <= skip || strncasecmp(bytes, name, skip) != 0)
        return length;
    while (skip < length && bytes[skip] == ' ')
        skip++;
    size_t rest = strcspn(bytes + skip, "\r\n");
    (void)snprintf(
        server, sizeof((struct http_answer *)0)->server, "%.*s", (int)rest, bytes + skip);
    return length;
}

static CURL *request(const char *url, struct http_answer *answer, struct error *error)
{
    CURL *curl = curl_easy_init();
    if (curl == NULL) {
        (void)error_set(error, ERR_IO, "libcurl does not start");
        return NULL;
    }
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer->body);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer->server);
    return curl;
}

/* Ends the request, too. */
static int perform(CURL *curl, const char *url, struct http_answer *answer, struct error *error)
{
    curl_off_t connected_us = 0;
    CURLcode code = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_CONNECT_TIME_T, &connected_us);
    if (code == CURLE_OK)
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_easy_cleanup(curl);
    if (code == CURLE_OK)
        return 0;
    if (code == CURLE_OPERATION_TIMEDOUT && connected_us > 0)
        return error_set(error, ERR_TIMEOUT, "%s: no answer in %d s", url, TIMEOUT_MS / 1000);
    return error_set(error, ERR_UNREACHABLE, "%s: %s", url, curl_easy_strerror(code));
}

static int judge(const char *url, long status, struct error *error)
{
    if (status == 404)
        return error_set(error, ERR_NOT_FOUND, "%s: status 404", url);
    if (status < 200 || status >= 400)
        return error_set(error, ERR_REFUSED, "%s: status %ld", url, status);
    return 0;
}

int http_json(const char *url, bool post, json_t **ret_document, struct error *error)
{
    struct http_answer answer = {0};
    json_error_t why;
    CURL *curl = request(url, &answer, error);
    if (curl == NULL)
        return ERR_IO;
    if (post) {
        (void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    }
    int rc = perform(curl, url, &answer, error);
    if (rc == 0)
        rc = judge(url, answer.status, error);
    if (rc == 0) {
        *ret_document = json_loadb(answer.body.data, answer.body.length, 0, &why);
        if (*ret_document == NULL)
            rc = error_set(error, ERR_MALFORMED, "%s: %s", url, why.text);
    }
    http_answer_fini(&answer);
    return rc;
}

int http_get(const char *url, const char *login, const char *password,
    struct http_answer *ret_answer, struct error *error)
{
    CURL *curl = request(url, ret_answer, error);
    if (curl == NULL)
        return ERR_IO;
    if (login[0] != '\0' || password[0] != '\0') {
        (void)curl_easy_setopt(curl, CURLOPT_USERNAME, login);
        (void)curl_easy_setopt(curl, CURLOPT_PASSWORD, password);
    }
    return perform(curl, url, ret_answer, error);
}

void http_answer_fini(struct http_answer *answer)
{
    buffer_fini(&answer->body);
}

const char *json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}
