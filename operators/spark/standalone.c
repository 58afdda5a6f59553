#include "operators/spark/standalone.h"

#include "operators/common/http.h"
#include "operators/spark/child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENT_KILL_MS = 60000, URL_BYTES = 700 };

/* The n-th host of "spark://h1:7077,h2:7077", NULL when there are fewer. */
static const char *host_at(const char *master, size_t index, char *ret, size_t size)
{
    const char *at = strstr(master, "://") + 3;
    for (; index > 0; index--) {
        at = strchr(at, ',');
        if (at == NULL)
            return NULL;
        at++;
    }
    size_t length = strcspn(at, ",");
    const char *colon = memchr(at, ':', length);
    if (at[0] != '[' && colon != NULL)
        length = (size_t)(colon - at);
    else if (at[0] == '[')
        length = strcspn(at, "]") + 1;
    if (length == 0 || length >= size)
        return NULL;
    memcpy(ret, at, length);
    ret[length] = '\0';
    return ret;
}

/* Asks one master after another: the first that answers counts. */
static int ask(
    const struct job *job, int port, const char *path, bool post, json_t **ret, struct error *error)
{
    char host[256], url[URL_BYTES];
    int rc = error_set(error, ERR_UNREACHABLE, "%s names no host", job->master);
    for (size_t i = 0; host_at(job->master, i, host, sizeof host) != NULL; i++) {
        (void)snprintf(url, sizeof url, "http://%s:%d%s", host, port, path);
        rc = http_json(url, post, ret, error);
        if (rc == 0)
            return 0;
    }
    return rc;
}

enum driver_state driver_state_of(const char *word)
{
    static const struct {
        const char *word;
        enum driver_state state;
    } words[] = {{"SUBMITTED", DRIVER_LIVE}, {"RUNNING", DRIVER_LIVE}, {"RELAUNCHING", DRIVER_LIVE},
        {"FINISHED", DRIVER_FINISHED}, {"KILLED", DRIVER_DEAD}, {"FAILED", DRIVER_DEAD},
        {"ERROR", DRIVER_DEAD}};
    for (size_t i = 0; word != NULL && i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i].word) == 0)
            return words[i].state;
    }
    return DRIVER_UNKNOWN;
}

static void view_set(struct driver_view *view, const char *word, const char *message)
{
    *view = (struct driver_view){.state = driver_state_of(word)};
    (void)snprintf(view->word, sizeof view->word, "%.39s", word != NULL ? word : "unknown");
    (void)snprintf(view->message, sizeof view->message, "%.500s", message != NULL ? message : "");
    view->message[strcspn(view->message, "\r\n")] = '\0';
}

static int look_by_rest(
    const struct job *job, const char *driver, struct driver_view *view, struct error *error)
{
    char path[200];
    json_t *answer = NULL;
    (void)snprintf(path, sizeof path, "/v1/submissions/status/%.80s", driver);
    int rc = ask(job, job->rest_port, path, false, &answer, error);
    if (rc == 0)
        view_set(view, json_text(answer, "driverState"), json_text(answer, "message"));
    json_decref(answer);
    return rc;
}

static const json_t *find_driver(const json_t *page, const char *list, const char *driver)
{
    size_t index;
    const json_t *item;
    json_array_foreach(json_object_get(page, list), index, item)
    {
        const char *id = json_text(item, "id");
        if (id != NULL && strcmp(id, driver) == 0)
            return item;
    }
    return NULL;
}

int standalone_page(const struct job *job, json_t **ret_page, struct error *error)
{
    return ask(job, job->web_port, "/json/", false, ret_page, error);
}

static int look_by_page(
    const struct job *job, const char *driver, struct driver_view *view, struct error *error)
{
    json_t *page = NULL;
    int rc = standalone_page(job, &page, error);
    if (rc != 0)
        return rc;
    const json_t *found = find_driver(page, "activedrivers", driver);
    if (found == NULL)
        found = find_driver(page, "completeddrivers", driver);
    view_set(view, json_text(found, "state"), NULL);
    json_decref(page);
    return 0;
}

int standalone_look(
    const struct job *job, const char *driver, struct driver_view *ret_view, struct error *error)
{
    if (look_by_rest(job, driver, ret_view, error) == 0 && ret_view->state != DRIVER_UNKNOWN)
        return 0;
    return look_by_page(job, driver, ret_view, error);
}

/* The program beside spark-submit; without a folder, the one in PATH. */
static const char *spark_class(struct job *job)
{
    const char *slash = strrchr(job->binary, '/');
    return slash == NULL ? "spark-class"
                         : arena_printf(&job->arena, "%.*s/spark-class", (int)(slash - job->binary),
                               job->binary)
                               .ptr;
}

int standalone_kill(struct job *job, const char *driver, struct error *error)
{
    char path[200];
    json_t *answer = NULL;
    (void)snprintf(path, sizeof path, "/v1/submissions/kill/%.80s", driver);
    int rc = ask(job, job->rest_port, path, true, &answer, error);
    bool done = rc == 0 && json_is_true(json_object_get(answer, "success"));
    json_decref(answer);
    if (done)
        return 0;
    struct words command = {0};
    words_add(&command, spark_class(job));
    words_add(&command, "org.apache.spark.deploy.Client");
    words_add(&command, "kill");
    words_add(&command, job->master);
    words_add(&command, driver);
    rc = child_run(&command, CLIENT_KILL_MS, error);
    free(command.items);
    /* Its status is not to be relied upon; the driver's state is. */
    return rc < 0 ? rc : 0;
}

/* As of Spark 4.3 its pages take a change only with the token that stands in their forms; "" where
 * there is none. */
static void read_token(const struct job *job, char *ret, size_t size)
{
    static const char mark[] = "name=\"csrfToken\" value=\"";
    char host[256], url[URL_BYTES];
    ret[0] = '\0';
    for (size_t i = 0; ret[0] == '\0' && host_at(job->master, i, host, sizeof host) != NULL; i++) {
        struct http_answer page = {0};
        (void)snprintf(url, sizeof url, "http://%s:%d/", host, job->web_port);
        const char *at = NULL;
        if (http_get(url, "", "", &page, NULL) == 0 && page.body.length > 0)
            at = strstr(buffer_text(&page.body), mark);
        if (at != NULL)
            (void)snprintf(ret, size, "%.*s",
                (int)strspn(at + sizeof mark - 1, "0123456789abcdefABCDEF-"), at + sizeof mark - 1);
        http_answer_fini(&page);
    }
}

static int end_application(const struct job *job, const char *id, struct error *error)
{
    char path[300], token[100];
    json_t *answer = NULL;
    read_token(job, token, sizeof token);
    (void)snprintf(path, sizeof path, "/app/kill/?id=%.80s&terminate=true%s%s", id,
        token[0] != '\0' ? "&csrfToken=" : "", token);
    int rc = ask(job, job->web_port, path, true, &answer, error);
    json_decref(answer);
    /* It answers with a page. */
    return rc == ERR_MALFORMED ? 0 : rc;
}

int standalone_end_tagged(
    const struct job *job, const char *tag_prefix, int *ret_count, struct error *error)
{
    json_t *page = NULL;
    size_t index;
    const json_t *item;
    *ret_count = 0;
    int rc = standalone_page(job, &page, error);
    if (rc != 0)
        return rc;
    json_array_foreach(json_object_get(page, "activeapps"), index, item)
    {
        const char *id = json_text(item, "id"), *name = json_text(item, "name");
        if (id == NULL || name == NULL || strstr(name, tag_prefix) == NULL)
            continue;
        ++*ret_count;
        (void)printf("reeve-op-spark: ending %s of an earlier attempt\n", id);
        (void)fflush(stdout);
        rc = end_application(job, id, error);
        if (rc != 0)
            break;
    }
    json_decref(page);
    return rc;
}
