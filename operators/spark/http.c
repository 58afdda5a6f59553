#include "operators/spark/http.h"

#include "common/buffer.h"

#include <curl/curl.h>

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

static int perform(CURL *curl, const char *url, struct error *error)
{
    long status = 0;
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        return error_set(error, ERR_UNREACHABLE, "%s: %s", url, curl_easy_strerror(code));
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 404)
        return error_set(error, ERR_NOT_FOUND, "%s: status 404", url);
    if (status < 200 || status >= 400)
        return error_set(error, ERR_REFUSED, "%s: status %ld", url, status);
    return 0;
}

int http_json(const char *url, bool post, json_t **ret_document, struct error *error)
{
    struct buffer body = {0};
    json_error_t why;
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return error_set(error, ERR_IO, "libcurl does not start");
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    if (post) {
        (void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    }
    int rc = perform(curl, url, error);
    curl_easy_cleanup(curl);
    if (rc == 0) {
        *ret_document = json_loadb(body.data, body.length, 0, &why);
        if (*ret_document == NULL)
            rc = error_set(error, ERR_MALFORMED, "%s: %s", url, why.text);
    }
    buffer_fini(&body);
    return rc;
}

const char *json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}
