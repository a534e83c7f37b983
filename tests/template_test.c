/*
 * Chat templates: published ones against the text they must give, the language against Jinja2 3.1
 * set up as transformers does it (tests/data/templates, template-language.json), and hostile ones.
 */
#include "golden_data.h"

#include "chat.h"
#include "template.h"

#include <dirent.h>

struct result {
    enum nib_status status;
    char *text; /* NULL: failed */
    size_t n_bytes;
    struct nib_error err;
};

static struct result render_at(struct nib_str source, struct nib_str json, int64_t now)
{
    struct result result = {0};
    struct nib_template *tpl;
    result.status = nib_template_parse(&tpl, source, &result.err);
    assert_int_equal(result.status == NIB_OK, tpl != NULL);
    if (!tpl)
        return result;
    result.status = nib_template_render(tpl, json, now, &result.text, &result.n_bytes, &result.err);
    assert_int_equal(result.status == NIB_OK, result.text != NULL);
    if (result.text)
        assert_int_equal(result.text[result.n_bytes], 0);
    nib_template_free(tpl);
    return result;
}

static struct result render(const char *source, const char *json)
{
    return render_at(nib_str_from(source), nib_str_from(json), 0);
}

static void assert_gives(const char *source, const char *json, const char *expect)
{
    struct result result = render(source, json);
    if (!result.text)
        fail_msg("%s: %s", source, result.err.message);
    assert_string_equal(result.text, expect);
    nib_free(result.text);
}

/* Fails with NIB_ERROR_TEMPLATE and a sentence that holds `part`. */
static void assert_refused(const char *source, const char *json, const char *part)
{
    struct result result = render(source, json);
    if (result.text)
        fail_msg("gives text, but should fail: %s", source);
    assert_int_equal(result.status, NIB_ERROR_TEMPLATE);
    if (!strstr(result.err.message, part))
        fail_msg("\"%s\" does not say \"%s\"", result.err.message, part);
}

/* ---- golden data ---------------------------------------------------------------------------- */

static int64_t seconds_of(const char *iso)
{
    int year, month, day, hour, minute, second;
    assert_int_equal(sscanf(iso, "%d-%d-%dT%d:%d:%d", &year, &month, &day, &hour, &minute, &second),
                     6);
    int64_t days = 0;
    for (int y = 1970; y < year; y++)
        days += (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 ? 366 : 365;
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    days += before[month - 1] + day - 1;
    days += month > 2 && ((year % 4 == 0 && year % 100 != 0) || year % 400 == 0);
    return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

static void check_case(const char *where, struct nib_str source, struct nib_str json, int64_t now,
                       yyjson_val *expected)
{
    struct result result = render_at(source, json, now);
    yyjson_val *expect = yyjson_obj_get(expected, "expect");
    if (expect) {
        if (!result.text)
            fail_msg("%s: %s", where, result.err.message);
        assert_int_equal(result.n_bytes, yyjson_get_len(expect));
        if (memcmp(result.text, yyjson_get_str(expect), result.n_bytes) != 0)
            fail_msg("%s gives\n%s\nexpected\n%s", where, result.text, yyjson_get_str(expect));
    } else {
        const char *error = yyjson_get_str(yyjson_obj_get(expected, "error"));
        if (result.text)
            fail_msg("%s gives text, but should fail: %s", where, error);
        assert_int_equal(result.status, NIB_ERROR_TEMPLATE);
        static const char raised[] = "TemplateError: ";
        if (strncmp(error, raised, sizeof raised - 1) == 0 &&
            !strstr(result.err.message, error + sizeof raised - 1))
            fail_msg("%s: \"%s\" does not hold the template's own message", where,
                     result.err.message);
    }
    nib_free(result.text);
}

static size_t check_file(const char *name)
{
    char path[512], where[600];
    snprintf(path, sizeof path, "templates/%s", name);
    yyjson_doc *doc = golden_json(path);
    yyjson_val *root = yyjson_doc_get_root(doc), *tpl = yyjson_obj_get(root, "template");
    yyjson_val *cases = yyjson_obj_get(root, "cases"), *item;
    const int64_t now = seconds_of(yyjson_get_str(yyjson_obj_get(root, "now")));
    size_t i, max;
    yyjson_arr_foreach(cases, i, max, item)
    {
        struct nib_str json = {0};
        char *text = yyjson_val_write(yyjson_obj_get(item, "input"), 0, &json.len);
        json.data = text;
        snprintf(where, sizeof where, "%s, %s", name, yyjson_get_str(yyjson_obj_get(item, "name")));
        check_case(where, (struct nib_str){yyjson_get_str(tpl), yyjson_get_len(tpl)}, json, now,
                   item);
        free(text);
    }
    yyjson_doc_free(doc);
    return max;
}

static void test_published_templates_give_their_text(void **state)
{
    (void)state;
    size_t n_files = 0, n_cases = 0;
    DIR *folder = opendir(NIB_TEST_DATA "/templates");
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot && strcmp(dot, ".json") == 0) {
            n_cases += check_file(entry->d_name);
            n_files++;
        }
    }
    closedir(folder);
    assert_true(n_files >= 43);
    assert_true(n_cases >= 470);
}

static void test_language_is_that_of_jinja(void **state)
{
    (void)state;
    yyjson_doc *doc = golden_json("template-language.json");
    yyjson_val *root = yyjson_doc_get_root(doc), *item;
    const int64_t now = seconds_of(yyjson_get_str(yyjson_obj_get(root, "now")));
    struct nib_str json = {0};
    char *text = yyjson_val_write(yyjson_obj_get(root, "variables"), 0, &json.len);
    json.data = text;
    size_t i, max;
    yyjson_arr_foreach(yyjson_obj_get(root, "cases"), i, max, item)
    {
        yyjson_val *tpl = yyjson_obj_get(item, "template");
        check_case(yyjson_get_str(tpl), (struct nib_str){yyjson_get_str(tpl), yyjson_get_len(tpl)},
                   json, now, item);
    }
    assert_true(max > 1000);
    free(text);
    yyjson_doc_free(doc);
}

/* ---- what transformers adds ----------------------------------------------------------------- */

static void test_generation_block_prints_its_content(void **state)
{
    (void)state;
    assert_gives("a{% generation %}b{{ x }}{% endgeneration %}c", "{\"x\": 1}", "ab1c");
}

static void test_integers_beyond_64_bits_are_printed(void **state)
{
    (void)state;
    assert_gives("{{ x }} {{ x|tojson }} {{ y }} {{ 18446744073709551616 == z }}",
                 "{\"x\": 18446744073709551615, \"y\": -9223372036854775809, "
                 "\"z\": 18446744073709551616}",
                 "18446744073709551615 18446744073709551615 -9223372036854775809 True");
    assert_refused("{{ x + 1 }}", "{\"x\": 18446744073709551615}", "unsupported operands");
    assert_refused("{{ 9223372036854775807 + 1 }}", "{}", "64 bits");
}

static void test_dates_are_right_over_centuries(void **state)
{
    (void)state;
    static const struct {
        int64_t now;
        const char *text;
    } dates[] = {
        {0, "1970-01-01 00:00:00 Thu 001"},          {951782400, "2000-02-29 00:00:00 Tue 060"},
        {1078012799, "2004-02-28 23:59:59 Sat 059"}, {4107542400, "2100-03-01 00:00:00 Mon 060"},
        {-1, "1969-12-31 23:59:59 Wed 365"},
    };
    for (size_t i = 0; i < NIB_COUNT(dates); i++) {
        struct result result = render_at(NIB_STR("{{ strftime_now('%Y-%m-%d %H:%M:%S %a %j') }}"),
                                         NIB_STR("{}"), dates[i].now);
        assert_non_null(result.text);
        assert_string_equal(result.text, dates[i].text);
        nib_free(result.text);
    }
}

/* ---- errors --------------------------------------------------------------------------------- */

static void test_errors_name_line_and_construct(void **state)
{
    (void)state;
    assert_refused("a\nb\n{% include 'x' %}", "{}", "line 3: {% include %} is not supported");
    assert_refused("{% import 'x' as y %}", "{}", "{% import %}");
    assert_refused("{% from 'x' import y %}", "{}", "{% from %}");
    assert_refused("{% extends 'x' %}", "{}", "{% extends %}");
    assert_refused("{% do x.append(1) %}", "{}", "{% do %}");
    assert_refused("\n{% nope %}", "{}", "line 2: there is no tag {% nope %}");
    assert_refused("\n\n{{ 1|nope }}", "{}", "line 3: there is no filter 'nope'");
    assert_refused("{{ 1 is nope }}", "{}", "there is no test 'nope'");
    assert_refused("{% for m in [1] %}\n{{ m.x.y }}{% endfor %}", "{}",
                   "line 2: 'int object' has no attribute 'x'");
    assert_refused("{% if x %}", "{}", "endif");
    assert_refused("{{ 'abc }}", "{}", "a string is not closed");
    assert_refused("{# abc", "{}", "a comment");
    assert_refused("{% raw %}", "{}", "endraw");
    assert_refused("{{ (1 }}", "{}", "line 1");
    assert_refused("{% break %}", "{}", "'break' outside of a loop");
}

/* C6: the message is the template's, escaped where it would confuse a terminal, and cut. */
static void test_raise_exception_gives_the_message(void **state)
{
    (void)state;
    assert_refused("{{ raise_exception('Roles must alternate: ' ~ role) }}", "{\"role\": \"user\"}",
                   "Roles must alternate: user");
    struct result result = render("{{ raise_exception('a\\x1b[31m' ~ 'x' * 5000) }}", "{}");
    assert_null(result.text);
    assert_null(strchr(result.err.message, 0x1b));
    assert_true(strlen(result.err.message) < sizeof result.err.message);
}

static void test_errors_need_no_place_to_go(void **state)
{
    (void)state;
    struct nib_template *tpl;
    char *text;
    size_t n_bytes;
    assert_int_equal(nib_template_parse(&tpl, NIB_STR("{% if"), NULL), NIB_ERROR_TEMPLATE);
    assert_int_equal(nib_template_parse(&tpl, NIB_STR("{{ x.y.z }}"), NULL), NIB_OK);
    assert_int_equal(nib_template_render(tpl, NIB_STR("{}"), 0, &text, &n_bytes, NULL),
                     NIB_ERROR_TEMPLATE);
    assert_null(text);
    nib_template_free(tpl);
    nib_template_free(NULL);
}

/* ---- hostile templates ---------------------------------------------------------------------- */

/* C1 */
static void test_nothing_of_the_host_can_be_reached(void **state)
{
    (void)state;
    assert_refused("{{ ''.__class__.__mro__ }}", "{}", "unsafe");
    assert_refused("{{ [].__class__.__base__.__subclasses__() }}", "{}", "unsafe");
    assert_refused("{{ x.__init__.__globals__ }}", "{\"x\": {}}", "unsafe");
    assert_refused("{{ cycler.__init__.__globals__.os }}", "{}", "unsafe");
    assert_refused("{{ ''['__cl' ~ 'ass__']['x'] }}", "{}", "unsafe");
    assert_refused("{{ '{0.__class__.__mro__}'.format('') }}", "{}", "unsafe");
    assert_refused("{{ x.append(1) }}", "{\"x\": []}", "unsafe");
    assert_refused("{{ x.update({}) }}", "{\"x\": {}}", "unsafe");
    assert_gives("{{ ''.__class__ }}", "{}", "");
}

/* C2, C3 */
static void test_endless_work_is_refused(void **state)
{
    (void)state;
    assert_refused("{% for i in range(1000000000) %}x{% endfor %}", "{}", "range()");
    assert_refused(
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "{}",
        "steps");
    assert_refused("{{ 'x' * 10**9 }}", "{}", "too large");
    assert_refused("{{ [1] * 10**9 }}", "{}", "too large");
    assert_refused("{{ 'x' * 10**18 }}", "{}", "too large");
    assert_refused("{{ 'x'.center(10**12) }}", "{}", "MB");
    assert_refused("{{ '%1000000000d' % 1 }}", "{}", "MB");
    assert_refused("{{ '{:99999999999}'.format(1) }}", "{}", "malformed format");
    assert_refused("{{ 'x'|indent(10**12) }}", "{}", "MB");
    assert_refused("{% set ns = namespace(s='xx') %}{% for i in range(100) %}"
                   "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
                   "{}", "MB");
    assert_refused("{% set ns = namespace(s=[1]) %}{% for i in range(100) %}"
                   "{% set ns.s = ns.s + ns.s %}{% endfor %}",
                   "{}", "MB");
    assert_refused("{% set x = ['abcdefgh' * 1000] * 1000 %}{{ x|join(x|join) }}", "{}", "MB");
    /* Its text grows a few bytes at a time when room is short, which took half a minute with an
     * allocator that copies. */
    assert_refused("{{ 'abcdef' * 8888888 }}", "{}", "MB");
    assert_refused("{% set s = 'x' * 10000000 %}{% for i in range(100000) %}"
                   "{% if 'y' in s %}{% endif %}{% endfor %}",
                   "{}", "steps");
    assert_refused("{% set s = 'é' * 1000000 %}{% for i in range(100000) %}{% set c = s[i] %}"
                   "{% endfor %}",
                   "{}", "steps");
}

/* `n` times `open`, then `middle`, then `n` times `close` */
static char *nested(const char *open, const char *middle, const char *close, size_t n)
{
    const size_t n_open = strlen(open), n_middle = strlen(middle), n_close = strlen(close);
    char *text = malloc(n * (n_open + n_close) + n_middle + 1), *p = text;
    assert_non_null(text);
    for (size_t i = 0; i < n; i++, p += n_open)
        memcpy(p, open, n_open);
    memcpy(p, middle, n_middle);
    p += n_middle;
    for (size_t i = 0; i < n; i++, p += n_close)
        memcpy(p, close, n_close);
    *p = '\0';
    return text;
}

/* C4 */
static void test_deep_nesting_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *open, *middle, *close;
    } shapes[] = {
        {"{{ ((((((((((", "1", ""},
        {"{{ [", "1", "] }}"},
        {"{% if 1 %}", "x", "{% endif %}"},
        {"{% for i in [1] %}", "x", "{% endfor %}"},
        {"{% macro m() %}", "x", "{% endmacro %}"},
        {"{% set x %}", "x", "{% endset %}"},
        {"{% with %}", "x", "{% endwith %}"},
    };
    for (size_t i = 0; i < NIB_COUNT(shapes); i++) {
        char *source = nested(shapes[i].open, shapes[i].middle, shapes[i].close, 10000);
        assert_refused(source, "{}", "chat template, line 1: ");
        free(source);
    }
    static const char *const repeated[] = {
        "(", "[", "{1:", "not ", "-", "1+(", "1 if 1 else ", "x.y(", "x[", "f(a=", "1 is in ["};
    for (size_t i = 0; i < NIB_COUNT(repeated); i++) {
        char *inside = nested(repeated[i], "1", "", 10000), *source;
        source = nested("{{ ", inside, " }}", 1);
        assert_refused(source, "{}", "chat template, line 1: ");
        free(source);
        free(inside);
    }
    static const char *const chained[] = {"|upper", ".x",    "[0]",         "()",  " + 1",
                                          " and 1", " ** 1", " is defined", " * 2"};
    for (size_t i = 0; i < NIB_COUNT(chained); i++) {
        char *tail = nested(chained[i], " }}", "", 10000), *source = nested("{{ x", tail, "", 1);
        assert_refused(source, "{}", "chat template, line 1: ");
        free(source);
        free(tail);
    }
}

static void test_endless_recursion_is_refused(void **state)
{
    (void)state;
    assert_refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{}", "deep");
    assert_refused("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}"
                   "{{ a() }}",
                   "{}", "deep");
    assert_refused("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "{}", "deep");
    assert_refused("{% macro m() %}{% call m() %}{{ caller }}{% endcall %}{% endmacro %}{{ m() }}",
                   "{}", "deep");
    /* A value that holds itself, or grows inwards. */
    static const char *const uses[] = {"{{ ns.x }}", "{{ ns.x|tojson }}", "{{ ns.x == ns.y }}",
                                       "{{ ns.x < ns.y }}", "{{ ns.x|string|length }}"};
    for (size_t i = 0; i < NIB_COUNT(uses); i++) {
        char source[400];
        snprintf(source, sizeof source,
                 "{%% set ns = namespace(x=[], y=[]) %%}{%% for i in range(50000) %%}"
                 "{%% set ns.x = [ns.x] %%}{%% set ns.y = [ns.y] %%}{%% endfor %%}%s",
                 uses[i]);
        assert_refused(source, "{}", "deep");
    }
    assert_refused("{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns }}", "{}", "deep");
}

/* A macro that walks a tree, as templates with tools have: well within the limits. */
static void test_reasonable_recursion_works(void **state)
{
    (void)state;
    assert_gives("{% macro walk(x, depth) %}{% if depth > 0 %}{% for i in [1] %}{% if i %}("
                 "{{ walk(x, depth - 1)|trim }}){% endif %}{% endfor %}{% else %}{{ x }}{% endif %}"
                 "{% endmacro %}{{ walk('leaf', 30) }}",
                 "{}", "((((((((((((((((((((((((((((((leaf))))))))))))))))))))))))))))))");
}

/* C5 */
static void test_malformed_sources_are_refused(void **state)
{
    (void)state;
    struct nib_template *tpl;
    struct nib_error err;
    char *large = malloc(NIB_TEMPLATE_MAX_SOURCE + 1);
    assert_non_null(large);
    memset(large, 'x', NIB_TEMPLATE_MAX_SOURCE + 1);
    assert_int_equal(
        nib_template_parse(&tpl, (struct nib_str){large, NIB_TEMPLATE_MAX_SOURCE + 1}, &err),
        NIB_ERROR_TEMPLATE);
    assert_int_equal(
        nib_template_parse(&tpl, (struct nib_str){large, NIB_TEMPLATE_MAX_SOURCE}, &err), NIB_OK);
    nib_template_free(tpl);
    free(large);
    assert_int_equal(nib_template_parse(&tpl, NIB_STR("a\xff\x80z"), &err), NIB_ERROR_TEMPLATE);
    assert_non_null(strstr(err.message, "byte 1"));
    /* A zero byte is text like any other outside of tags. */
    struct result result = render_at(NIB_STR("a\0b{{ 1 }}"), NIB_STR("{}"), 0);
    assert_non_null(result.text);
    assert_int_equal(result.n_bytes, 4);
    assert_memory_equal(result.text, "a\0b1", 4);
    nib_free(result.text);
    result = render_at(NIB_STR("{{ a\0 }}"), NIB_STR("{}"), 0);
    assert_int_equal(result.status, NIB_ERROR_TEMPLATE);
}

/* C7 */
static void test_text_of_messages_is_never_parsed(void **state)
{
    (void)state;
    assert_gives("{{ x }}|{{ x|upper }}", "{\"x\": \"{{ y }}{% if %}${z}{#\"}",
                 "{{ y }}{% if %}${z}{#|{{ Y }}{% IF %}${Z}{#");
}

/* C8 */
static void test_odd_conversations_give_text_or_an_error(void **state)
{
    (void)state;
    const char *source = "{% for m in messages %}{{ m.role }}:{{ m['content'] }};{% endfor %}";
    assert_gives(source, "{\"messages\": []}", "");
    assert_gives(source, "{}", "");
    assert_gives(source, "{\"messages\": [{}]}", ":;");
    assert_gives(source, "{\"messages\": [{\"role\": 1, \"content\": null}]}", "1:None;");
    assert_gives(source, "{\"messages\": [{\"role\": \"a\", \"content\": [1, {\"b\": \"c\"}]}]}",
                 "a:[1, {'b': 'c'}];");
    assert_refused(source, "{\"messages\": 1}", "not iterable");
    assert_refused(source, "{\"messages\": [1", "not JSON");
    assert_refused(source, "[]", "JSON object");
    assert_refused(source, "{\"messages\": [\"\\ud800\"]}", "not JSON");
    char *deep = nested("[", "1", "]", 3000), *json = nested("{\"tools\": ", deep, "}", 1);
    assert_refused("{{ tools|tojson }}", json, "nested");
    free(deep);
    free(json);
}

static void test_many_messages_are_quick(void **state)
{
    (void)state;
    enum { N = 100000 };
    char *json = nested("", "{\"messages\": [", "{\"role\": \"user\", \"content\": \"abc\"},", N);
    memcpy(json + strlen(json) - 1, "]", 1);
    char *closed = nested("", json, "}", 1);
    struct result result =
        render("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}", closed);
    assert_non_null(result.text);
    assert_int_equal(result.n_bytes, N * strlen("<user>abc"));
    nib_free(result.text);
    free(closed);
    free(json);
}

/* ---- conversations -------------------------------------------------------------------------- */

static const struct nib_chat_message messages[] = {
    {"system", "Be kind."},
    {"user", "2 < 3? \xF0\x9F\x99\x82"},
};

static const struct nib_str no_more = {NULL, 0};

static const char chatml[] =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + "
    "'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

static void test_chat_renders_a_conversation(void **state)
{
    (void)state;
    char *text;
    struct nib_error err;
    assert_int_equal(nib_chat_render(nib_str_from(chatml), messages, 2, true, no_more,
                                     NIB_STR("<s>"), NIB_STR("</s>"), &text, &err),
                     NIB_OK);
    assert_string_equal(text, "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n2 < 3? "
                              "\xF0\x9F\x99\x82<|im_end|>\n<|im_start|>assistant\n");
    nib_free(text);
    assert_int_equal(nib_chat_render(NIB_STR("{{ bos_token }}{{ messages|length }}{{ eos_token }}"),
                                     messages, 2, false, no_more, NIB_STR("<s>"), NIB_STR("</s>"),
                                     &text, &err),
                     NIB_OK);
    assert_string_equal(text, "<s>2</s>");
    nib_free(text);
    const struct nib_str none = {NULL, 0};
    assert_int_equal(nib_chat_render(NIB_STR("{{ bos_token is defined }}{{ eos_token }}"), messages,
                                     0, false, no_more, none, none, &text, &err),
                     NIB_OK);
    assert_string_equal(text, "False");
    nib_free(text);
}

static void test_chat_takes_further_variables(void **state)
{
    (void)state;
    static const char source[] =
        "{% for t in tools %}{{ t.name }} {% endfor %}{{ enable_thinking }} {{ messages|length }}";
    static const char variables[] = "{\"tools\": [{\"name\": \"clock\"}, {\"name\": \"map\"}], "
                                    "\"enable_thinking\": false}";
    char *text;
    struct nib_error err;
    assert_int_equal(nib_chat_render(nib_str_from(source), messages, 2, true,
                                     nib_str_from(variables), no_more, no_more, &text, &err),
                     NIB_OK);
    assert_string_equal(text, "clock map False 2");
    nib_free(text);
    assert_int_equal(nib_chat_render(nib_str_from(source), messages, 2, true,
                                     NIB_STR("{\"messages\": [1, 2, 3]}"), no_more, no_more, &text,
                                     &err),
                     NIB_OK);
    assert_string_equal(text, " 3");
    nib_free(text);
    static const char *const bad[] = {"[]", "{\"a\": }", "{", ""};
    for (size_t i = 0; i < NIB_COUNT(bad); i++) {
        assert_int_not_equal(nib_chat_render(nib_str_from(source), messages, 2, true,
                                             nib_str_from(bad[i]), no_more, no_more, &text, &err),
                             NIB_OK);
        assert_null(text);
        assert_non_null(strstr(err.message, "variables of the chat template"));
    }
}

static void test_chat_replaces_what_is_not_utf8(void **state)
{
    (void)state;
    const struct nib_chat_message broken = {"user\xff", "a\xc3\xa9\x80\xe2\x82z\xf0\x9f"};
    char *text;
    assert_int_equal(nib_chat_render(NIB_STR("{{ messages[0].role }}:{{ messages[0].content }}"),
                                     &broken, 1, false, no_more, NIB_STR(""), NIB_STR(""), &text,
                                     NULL),
                     NIB_OK);
    assert_string_equal(text, "user\xEF\xBF\xBD:a\xc3\xa9\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD");
    nib_free(text);
}

static void test_chat_says_what_is_wrong(void **state)
{
    (void)state;
    const struct nib_chat_message no_content = {"user", NULL};
    struct nib_error err;
    char *text;
    assert_int_equal(nib_chat_render(nib_str_from(chatml), &no_content, 1, true, no_more,
                                     NIB_STR(""), NIB_STR(""), &text, &err),
                     NIB_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "message 0 has no content"));
    assert_int_equal(nib_chat_render(NIB_STR("{% if %}"), messages, 2, true, no_more, NIB_STR(""),
                                     NIB_STR(""), &text, &err),
                     NIB_ERROR_TEMPLATE);
    assert_null(text);
    assert_int_equal(nib_chat_render(NIB_STR("{{ raise_exception('no system role') }}"), messages,
                                     2, true, no_more, NIB_STR(""), NIB_STR(""), &text, &err),
                     NIB_ERROR_TEMPLATE);
    assert_non_null(strstr(err.message, "no system role"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_templates_give_their_text),
        cmocka_unit_test(test_language_is_that_of_jinja),
        cmocka_unit_test(test_generation_block_prints_its_content),
        cmocka_unit_test(test_integers_beyond_64_bits_are_printed),
        cmocka_unit_test(test_dates_are_right_over_centuries),
        cmocka_unit_test(test_errors_name_line_and_construct),
        cmocka_unit_test(test_raise_exception_gives_the_message),
        cmocka_unit_test(test_errors_need_no_place_to_go),
        cmocka_unit_test(test_nothing_of_the_host_can_be_reached),
        cmocka_unit_test(test_endless_work_is_refused),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_endless_recursion_is_refused),
        cmocka_unit_test(test_reasonable_recursion_works),
        cmocka_unit_test(test_malformed_sources_are_refused),
        cmocka_unit_test(test_text_of_messages_is_never_parsed),
        cmocka_unit_test(test_odd_conversations_give_text_or_an_error),
        cmocka_unit_test(test_many_messages_are_quick),
        cmocka_unit_test(test_chat_renders_a_conversation),
        cmocka_unit_test(test_chat_takes_further_variables),
        cmocka_unit_test(test_chat_replaces_what_is_not_utf8),
        cmocka_unit_test(test_chat_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
