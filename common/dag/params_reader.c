/*
 * params_reader.c - `params`: each a short form (its default) or a schema; both become schemas
 * (schema.h).
 */
#include "common/dag/reader.h"
#include "common/dag/scalar.h"
#include "common/dag/schema.h"

enum { PARAMS_MAX = 1000, ITEMS_DEPTH_MAX = 8 };

/* What a schema's keyword holds, and which types it is for (NULL: all). */
enum keyword_value {
    VALUE_ANY,
    VALUE_TYPE,
    VALUE_TEXT,
    VALUE_NUMBER,
    VALUE_COUNT,
    VALUE_LIST,
    VALUE_SCHEMA
};

struct keyword {
    const char *word;
    enum keyword_value value;
    const char *type;
    const char *other_type;
};

static const struct keyword keywords[] = {
    {"type", VALUE_TYPE, NULL, NULL},
    {"default", VALUE_ANY, NULL, NULL},
    {"enum", VALUE_LIST, NULL, NULL},
    {"title", VALUE_TEXT, NULL, NULL},
    {"description", VALUE_TEXT, NULL, NULL},
    {"minimum", VALUE_NUMBER, "integer", "number"},
    {"maximum", VALUE_NUMBER, "integer", "number"},
    {"exclusiveMinimum", VALUE_NUMBER, "integer", "number"},
    {"exclusiveMaximum", VALUE_NUMBER, "integer", "number"},
    {"minLength", VALUE_COUNT, "string", NULL},
    {"maxLength", VALUE_COUNT, "string", NULL},
    {"pattern", VALUE_TEXT, "string", NULL},
    {"items", VALUE_SCHEMA, "array", NULL},
    {"minItems", VALUE_COUNT, "array", NULL},
    {"maxItems", VALUE_COUNT, "array", NULL},
};

enum { KEYWORD_COUNT = sizeof keywords / sizeof keywords[0] };

/* Words of JSON Schema, and of Airflow's forms, that mean nothing here yet. */
static const char *const later_keywords[] = {"format", "const", "multipleOf", "properties",
    "required", "additionalProperties", "uniqueItems", "oneOf", "anyOf", "allOf", "not", "examples",
    "section", "values_display", "$ref", NULL};

static bool is_later(struct slice word)
{
    for (size_t i = 0; later_keywords[i] != NULL; i++) {
        if (slice_is(word, later_keywords[i]))
            return true;
    }
    return false;
}

static const struct keyword *find_keyword(struct slice word)
{
    for (size_t i = 0; i < KEYWORD_COUNT; i++) {
        if (slice_is(word, keywords[i].word))
            return &keywords[i];
    }
    return NULL;
}

static void report_keyword(struct reader *reader, const struct node *name)
{
    if (is_later(name->text)) {
        report_error(reader->report, name->place,
            "\"%.*s\" is not supported in this version, in params", SLICE_PRINT(name->text));
        return;
    }
    const char *words[KEYWORD_COUNT + 1] = {0};
    for (size_t i = 0; i < KEYWORD_COUNT; i++)
        words[i] = keywords[i].word;
    char near[SUGGESTION_MAX];
    const char *more = report_suggestion(reader->report, name->text, words, KEYWORD_COUNT, near);
    if (more[0] == '\0')
        more = "; a parameter that is a mapping is written {type: object, default: {…}}";
    report_error(reader->report, name->place, "unknown keyword \"%.*s\" of a parameter%s",
        SLICE_PRINT(name->text), more);
}

/* The type that a default's value has. */
static const char *type_of(const json_t *value)
{
    for (size_t i = 0; schema_types[i] != NULL; i++) {
        if (schema_type_fits(schema_types[i], value))
            return schema_types[i];
    }
    return "string";
}

static const struct node *find_value(const struct node *mapping, const char *word)
{
    node_each_pair(mapping, name)
    {
        if (slice_is(name->text, word))
            return name->next;
    }
    return NULL;
}

static const char *known_type(struct slice text)
{
    for (size_t i = 0; schema_types[i] != NULL; i++) {
        if (slice_is(text, schema_types[i]))
            return schema_types[i];
    }
    return NULL;
}

/* The declared type, or the default's, or string. NULL when it was reported. */
static const char *read_type(struct reader *reader, const struct node *mapping)
{
    const struct node *type = find_value(mapping, "type");
    const struct node *fallback = find_value(mapping, "default");
    if (type == NULL) {
        json_t *value = fallback != NULL ? node_to_json(fallback, NULL, NULL) : NULL;
        const char *found = value != NULL ? type_of(value) : "string";
        json_decref(value);
        return found;
    }
    if (type->kind == NODE_BROKEN)
        return NULL;
    const char *known = type->kind == NODE_SCALAR ? known_type(type->text) : NULL;
    if (known != NULL)
        return known;
    if (type->kind != NODE_SCALAR) {
        report_error(reader->report, type->place,
            "a parameter has one type; with \"default: null\" it may be null");
        return NULL;
    }
    static const char *const foreign[][2] = {{"str", "string"}, {"text", "string"},
        {"int", "integer"}, {"float", "number"}, {"double", "number"}, {"bool", "boolean"},
        {"list", "array"}, {"dict", "object"}, {"map", "object"}};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        if (slice_is(type->text, foreign[i][0])) {
            report_error(reader->report, type->place, "the type \"%s\" is called \"%s\" here",
                foreign[i][0], foreign[i][1]);
            return NULL;
        }
    }
    char near[SUGGESTION_MAX];
    report_error(reader->report, type->place, "unknown type \"%.*s\"%s", SLICE_PRINT(type->text),
        report_suggestion(reader->report, type->text, schema_types, 6, near));
    return NULL;
}

/* A node as JSON of a declared type; what is in an array is read by `items`' type. NULL when it was
 * reported. */
static json_t *read_value(
    struct reader *reader, const struct node *node, const char *type, const json_t *items)
{
    struct error error = {0};
    if (node->kind == NODE_BROKEN)
        return NULL;
    if (node->kind == NODE_SEQUENCE && items != NULL) {
        json_t *array = json_array();
        node_each_item(node, item)
        {
            json_t *value =
                read_value(reader, item, schema_type(items), json_object_get(items, "items"));
            if (value == NULL) {
                json_decref(array);
                return NULL;
            }
            (void)json_array_append_new(array, value);
        }
        return array;
    }
    json_t *value = node_to_json(node, type, &error);
    if (value == NULL && error.text[0] != '\0')
        report_error(reader->report, node->place, "%s", error.text);
    return value;
}

static bool value_fits(enum keyword_value wanted, const json_t *value)
{
    switch (wanted) {
    case VALUE_TEXT:
        return json_is_string(value);
    case VALUE_NUMBER:
        return json_is_number(value);
    case VALUE_COUNT:
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case VALUE_LIST:
        return json_array_size(value) > 0;
    default:
        return true;
    }
}

static json_t *read_schema(struct reader *reader, const struct node *mapping, int depth);

/* enum: each choice is read by the declared type, so that [NO, 3.10] are texts where texts are
 * wanted. */
static json_t *read_choices(struct reader *reader, const struct node *list, const json_t *schema)
{
    json_t *choices = json_array();
    node_each_item(list, item)
    {
        json_t *choice =
            read_value(reader, item, schema_type(schema), json_object_get(schema, "items"));
        if (choice != NULL)
            (void)json_array_append_new(choices, choice);
    }
    return choices;
}

/* The keyword's value as JSON; NULL when it was reported. */
static json_t *read_keyword_value(struct reader *reader, const struct node *value,
    const struct keyword *keyword, const json_t *schema, int depth)
{
    switch (keyword->value) {
    case VALUE_SCHEMA:
        return read_schema(reader, value, depth + 1);
    case VALUE_LIST:
        return read_choices(reader, value, schema);
    case VALUE_ANY:
        return read_value(reader, value, schema_type(schema), json_object_get(schema, "items"));
    case VALUE_TEXT:
        return read_value(reader, value, "string", NULL);
    default:
        return read_value(reader, value, NULL, NULL);
    }
}

static void read_keyword(struct reader *reader, const struct node *name, json_t *schema, int depth)
{
    static const char *const wanted[] = {[VALUE_ANY] = "a value",
        [VALUE_TYPE] = "a type",
        [VALUE_TEXT] = "text",
        [VALUE_NUMBER] = "a number",
        [VALUE_COUNT] = "an integer of 0 or more",
        [VALUE_LIST] = "a list with at least one value",
        [VALUE_SCHEMA] = "a mapping, as in {type: integer}"};
    const struct keyword *keyword = find_keyword(name->text);
    const struct node *value = name->next;
    const char *type = schema_type(schema);
    if (keyword == NULL) {
        report_keyword(reader, name);
        return;
    }
    if (keyword->type != NULL && strcmp(type, keyword->type) != 0 &&
        (keyword->other_type == NULL || strcmp(type, keyword->other_type) != 0)) {
        report_error(reader->report, name->place, "\"%s\" is not for a parameter of type %s",
            keyword->word, type);
        return;
    }
    enum node_kind kind = keyword->value == VALUE_SCHEMA ? NODE_MAPPING : NODE_SEQUENCE;
    if ((keyword->value == VALUE_SCHEMA || keyword->value == VALUE_LIST) && value->kind != kind) {
        report_type(reader, name, wanted[keyword->value]);
        return;
    }
    json_t *read = read_keyword_value(reader, value, keyword, schema, depth);
    if (read == NULL)
        return;
    if (value_fits(keyword->value, read)) {
        (void)json_object_set_new(schema, keyword->word, read);
        return;
    }
    report_type(reader, name, wanted[keyword->value]);
    json_decref(read);
}

/* A mapping's keywords: `items` before the values that it types, and `type` before all. NULL when
 * its type is wrong. */
static json_t *read_schema(struct reader *reader, const struct node *mapping, int depth)
{
    if (depth > ITEMS_DEPTH_MAX) {
        report_error(reader->report, mapping->place, "items are nested too deep");
        return NULL;
    }
    const char *type = read_type(reader, mapping);
    if (type == NULL)
        return NULL;
    json_t *schema = json_object();
    (void)json_object_set_new(schema, "type", json_string(type));
    node_each_pair(mapping, items)
    {
        if (slice_is(items->text, "items"))
            read_keyword(reader, items, schema, depth);
    }
    node_each_pair(mapping, name)
    {
        if (!slice_is(name->text, "type") && !slice_is(name->text, "items"))
            read_keyword(reader, name, schema, depth);
    }
    return schema;
}

/* The pattern must compile, and default and enum must fit the schema that they stand in. */
static void check_schema_itself(
    struct reader *reader, const struct node *mapping, const json_t *schema)
{
    struct error error;
    const char *pattern = json_string_value(json_object_get(schema, "pattern"));
    if (pattern != NULL && schema_check_pattern(pattern, &error) != 0) {
        report_error(reader->report, find_value(mapping, "pattern")->place, "%s", error.text);
        return;
    }
    const json_t *fallback = json_object_get(schema, "default");
    if (fallback != NULL && schema_check(schema, fallback, &error) != 0)
        report_error(reader->report, find_value(mapping, "default")->place,
            "the default does not fit: %s", error.text);
    size_t i;
    const json_t *choice;
    json_array_foreach(json_object_get(schema, "enum"), i, choice)
    {
        if (!schema_type_fits(schema_type(schema), choice)) {
            report_error(reader->report, find_value(mapping, "enum")->place,
                "a choice of enum is no %s", schema_type(schema));
            return;
        }
    }
}

static json_t *read_short_form(struct reader *reader, const struct node *name)
{
    if (node_is_null(name->next)) {
        report_error(reader->report, name->place,
            "\"%.*s\" has neither default nor type: write {type: string} for one that must be "
            "given",
            SLICE_PRINT(name->text));
        return NULL;
    }
    json_t *value = read_value(reader, name->next, NULL, NULL);
    if (value == NULL)
        return NULL;
    json_t *schema = json_object();
    (void)json_object_set_new(schema, "type", json_string(type_of(value)));
    (void)json_object_set_new(schema, "default", value);
    return schema;
}

static bool check_param_name(struct reader *reader, const struct node *name)
{
    struct slice text = name->text;
    bool sound =
        text.length > 0 && text.length <= 128 && !(text.ptr[0] >= '0' && text.ptr[0] <= '9');
    for (size_t i = 0; sound && i < text.length; i++) {
        char c = text.ptr[i];
        sound =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    }
    if (!sound)
        report_error(reader->report, name->place,
            "\"%.*s\" cannot be a parameter's name: letters, digits and \"_\", no digit first",
            SLICE_PRINT(text));
    return sound;
}

void read_params(struct reader *reader, const struct node *name)
{
    const struct node *value = name->next;
    if (node_is_null(value))
        return;
    if (value->kind != NODE_MAPPING) {
        report_type(reader, name, "a mapping of names to defaults or schemas");
        return;
    }
    if (value->count > PARAMS_MAX) {
        report_error(reader->report, value->place, "there are more than %d params", PARAMS_MAX);
        return;
    }
    reader->dag->params_node = value;
    node_each_pair(value, param)
    {
        if (!check_param_name(reader, param))
            continue;
        bool mapping = param->next->kind == NODE_MAPPING;
        json_t *schema =
            mapping ? read_schema(reader, param->next, 0) : read_short_form(reader, param);
        if (schema != NULL && mapping)
            check_schema_itself(reader, param->next, schema);
        /* A parameter whose declaration is wrong is still declared: its uses are no further
         * mistakes. */
        (void)json_object_setn_new(reader->dag->params, param->text.ptr, param->text.length,
            schema != NULL ? schema : json_object());
    }
}
