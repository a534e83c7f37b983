/*
 * Splitting into words against tests/data/pretokenizers.json: texts, and the lengths in bytes of
 * the words that another engine (Python's regex) makes of them by the patterns as the models were
 * published with them.
 */
#include "pretokenizer.h"

#include "split_patterns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <yyjson.h>

#define MAX_WORDS 2048

static yyjson_doc *doc;

static int open_data(void **state)
{
    (void)state;
    doc = yyjson_read_file(NIB_TEST_DATA "/pretokenizers.json", 0, NULL, NULL);
    return doc == NULL ? -1 : 0;
}

static int close_data(void **state)
{
    (void)state;
    yyjson_doc_free(doc);
    return 0;
}

struct words {
    const char *next; /* where the next one has to begin */
    size_t len[MAX_WORDS], n;
};

static enum nib_status take_word(void *data, struct nib_str word, struct nib_error *err)
{
    (void)err;
    struct words *words = data;
    assert_ptr_equal(word.data, words->next);
    assert_true(word.len > 0 && words->n < MAX_WORDS);
    words->len[words->n++] = word.len;
    words->next = word.data + word.len;
    return NIB_OK;
}

static bool splits_as_expected(const struct nib_pretokenizer *p, yyjson_val *text,
                               yyjson_val *lengths)
{
    const struct nib_str str = {yyjson_get_str(text), yyjson_get_len(text)};
    struct nib_split_scratch scratch = {0};
    struct words words = {.next = str.data};
    assert_int_equal(nib_pretokenizer_split(p, &scratch, str, take_word, &words, NULL), NIB_OK);
    nib_split_scratch_free(&scratch);
    bool is_equal = words.n == yyjson_arr_size(lengths);
    for (size_t i = 0; i < words.n && is_equal; i++)
        is_equal = words.len[i] == yyjson_get_uint(yyjson_arr_get(lengths, i));
    if (is_equal)
        return true;
    fprintf(stderr, "%s: '%s' gave", nib_pretokenizer_traits(p)->name, str.data);
    for (size_t i = 0; i < words.n; i++)
        fprintf(stderr, " %zu", words.len[i]);
    fprintf(stderr, "\nexpected");
    for (size_t i = 0; i < yyjson_arr_size(lengths); i++)
        fprintf(stderr, " %d", yyjson_get_int(yyjson_arr_get(lengths, i)));
    fprintf(stderr, "\n");
    return false;
}

static struct nib_pretokenizer *create(const char *name)
{
    struct nib_error err;
    struct nib_pretokenizer *p;
    if (nib_pretokenizer_create(&p, nib_str_from(name), "model.gguf", &err) != NIB_OK)
        fail_msg("%s", err.message);
    return p;
}

static void test_words_are_those_of_the_published_patterns(void **state)
{
    (void)state;
    yyjson_val *texts = yyjson_obj_get(yyjson_doc_get_root(doc), "texts"), *name, *lists;
    yyjson_obj_iter splits;
    yyjson_obj_iter_init(yyjson_obj_get(yyjson_doc_get_root(doc), "splits"), &splits);
    size_t n_failed = 0, n_names = 0;
    while ((name = yyjson_obj_iter_next(&splits)) != NULL) {
        struct nib_pretokenizer *p = create(yyjson_get_str(name));
        lists = yyjson_obj_iter_get_val(name);
        for (size_t i = 0; i < yyjson_arr_size(texts); i++)
            n_failed += !splits_as_expected(p, yyjson_arr_get(texts, i), yyjson_arr_get(lists, i));
        nib_pretokenizer_free(p);
        n_names++;
    }
    assert_int_equal(n_failed, 0);
    assert_true(n_names >= 28);
}

/* Each pattern is in the data by one of its names at least. */
static void test_every_pattern_is_tested(void **state)
{
    (void)state;
    yyjson_val *splits = yyjson_obj_get(yyjson_doc_get_root(doc), "splits");
    const struct nib_split_row *row;
    for (size_t i = 0; (row = nib_split_row_at(i)) != NULL; i++) {
        bool is_tested = false;
        const struct nib_split_row *other;
        for (size_t j = 0; (other = nib_split_row_at(j)) != NULL; j++)
            is_tested = is_tested || (other->pattern == row->pattern &&
                                      yyjson_obj_get(splits, other->traits.name) != NULL);
        if (!is_tested)
            fail_msg("%s is not", row->traits.name);
    }
}

static void test_every_name_is_known_once_and_makes_a_pretokenizer(void **state)
{
    (void)state;
    const struct nib_split_row *row;
    for (size_t i = 0; (row = nib_split_row_at(i)) != NULL; i++) {
        assert_ptr_equal(nib_split_row_find(nib_str_from(row->traits.name)), row);
        struct nib_pretokenizer *p = create(row->traits.name);
        assert_ptr_equal(nib_pretokenizer_traits(p), &row->traits);
        nib_pretokenizer_free(p);
    }
    assert_null(nib_split_row_find(NIB_STR("gpt-3")));
    nib_pretokenizer_free(NULL);
}

static enum nib_status stop(void *data, struct nib_str word, struct nib_error *err)
{
    (void)word;
    ++*(int *)data;
    return nib_fail(err, NIB_ERROR_MEMORY, "enough");
}

static void test_an_error_ends_splitting(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt-2", "smollm", "tiny_aya", "superbpe"};
    for (size_t i = 0; i < NIB_COUNT(names); i++) {
        struct nib_pretokenizer *p = create(names[i]);
        struct nib_split_scratch scratch = {0};
        int n = 0;
        assert_int_equal(
            nib_pretokenizer_split(p, &scratch, NIB_STR("1234 a 5678"), stop, &n, NULL),
            NIB_ERROR_MEMORY);
        assert_int_equal(n, 1);
        nib_split_scratch_free(&scratch);
        nib_pretokenizer_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_are_those_of_the_published_patterns),
        cmocka_unit_test(test_every_pattern_is_tested),
        cmocka_unit_test(test_every_name_is_known_once_and_makes_a_pretokenizer),
        cmocka_unit_test(test_an_error_ends_splitting),
    };
    return cmocka_run_group_tests(tests, open_data, close_data);
}
