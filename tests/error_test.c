/* Error sentences: what reaches a terminal, and how they are cut. */
#include "common.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_fail_writes_status_and_sentence(void **state)
{
    (void)state;
    struct nib_error err;
    assert_int_equal(nib_fail(&err, NIB_ERROR_FILE, "%s: %d rows", "x.gguf", 3), NIB_ERROR_FILE);
    assert_int_equal(err.status, NIB_ERROR_FILE);
    assert_string_equal(err.message, "x.gguf: 3 rows");
    assert_int_equal(nib_fail(NULL, NIB_ERROR_IO, "%s", "nobody asked"), NIB_ERROR_IO);
    assert_int_equal(nib_fail_memory(&err, 3 << 20, "the KV cache"), NIB_ERROR_MEMORY);
    assert_non_null(strstr(err.message, "3145728 bytes (3.0 MiB) for the KV cache"));
}

static void test_a_sentence_may_wrap_another(void **state)
{
    (void)state;
    struct nib_error err;
    nib_fail(&err, NIB_ERROR_FILE, "inner");
    nib_fail(&err, NIB_ERROR_IO, "outer: %s, %s", err.message, err.message);
    assert_string_equal(err.message, "outer: inner, inner");
}

static void test_control_characters_and_broken_utf8_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"plain", "plain"},
        {"na\xc3\xafve \xf0\x9f\x98\x80", "na\xc3\xafve \xf0\x9f\x98\x80"},
        {"a\x1b[31mb", "a\\x1b[31mb"},
        {"a\nb\tc\rd\x7f", "a\\nb\\tc\\x0dd\\x7f"},
        {"\xc2\x9b[2J", "\\u009b[2J"}, /* the one-character CSI */
        {"a\xe2\x80\xae"
         "b",
         "a\\u202eb"}, /* text direction */
        {"a\xe2\x80\xa8"
         "b",
         "a\\u2028b"}, /* line separator */
        {"\xff\xfe", "\\xff\\xfe"},
        {"\xc3", "\\xc3"},                            /* cut short */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* half of a surrogate pair */
        {"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* beyond U+10FFFF */
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        struct nib_error err;
        nib_fail(&err, NIB_ERROR_FILE, "%s", cases[i].text);
        assert_string_equal(err.message, cases[i].shown);
    }
    char out[32];
    assert_int_equal(nib_escape(out, sizeof(out), "a\0b", 3), 6);
    assert_string_equal(out, "a\\x00b");
}

static void test_long_sentences_are_cut_at_a_character(void **state)
{
    (void)state;
    char long_text[3000];
    struct nib_error err;
    for (size_t shift = 0; shift < 6; shift++) {
        memset(long_text, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof(long_text); i += 3)
            memcpy(long_text + i, "\xe2\x82\xac", 4); /* the euro sign */
        nib_fail(&err, NIB_ERROR_FILE, "%s", long_text);
        const size_t n = strlen(err.message);
        assert_in_range(n, sizeof(err.message) - 4, sizeof(err.message) - 1);
        assert_string_equal(err.message + n - 3, "...");
        assert_memory_equal(err.message + n - 6, "\xe2\x82\xac", 3);
        assert_null(strchr(err.message, '\\'));
    }
    memset(long_text, '\x1b', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    nib_fail(&err, NIB_ERROR_FILE, "%s", long_text);
    assert_string_equal(err.message + strlen(err.message) - 7, "\\x1b...");
}

static void test_escape_fits_every_cap(void **state)
{
    (void)state;
    static const char text[] = "ab\x1b\xe2\x82\xac\xff"
                               "cd";
    static const char shown[] = "ab\\x1b\xe2\x82\xac\\xff"
                                "cd";
    for (size_t cap = 1; cap <= sizeof(shown) + 2; cap++) {
        char *out = malloc(cap); /* AddressSanitizer sees its end */
        const size_t n = nib_escape(out, cap, text, sizeof(text) - 1);
        assert_int_equal(n, strlen(out));
        assert_true(n < cap);
        if (cap >= sizeof(shown))
            assert_string_equal(out, shown);
        else if (cap >= 4)
            assert_string_equal(out + n - 3, "...");
        free(out);
    }
    assert_int_equal(nib_escape(NULL, 0, "x", 1), 0);
}

static void test_version_is_the_headers(void **state)
{
    (void)state;
    assert_string_equal(nib_version(), NIB_VERSION);
    nib_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_writes_status_and_sentence),
        cmocka_unit_test(test_a_sentence_may_wrap_another),
        cmocka_unit_test(test_control_characters_and_broken_utf8_are_escaped),
        cmocka_unit_test(test_long_sentences_are_cut_at_a_character),
        cmocka_unit_test(test_escape_fits_every_cap),
        cmocka_unit_test(test_version_is_the_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
