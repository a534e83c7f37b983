/*
 * Folders without tokenizer.json: tokenizers made of vocab.json and merges.txt, and of
 * SentencePiece models under other ids, against the references of tests/data/tokenizers; and where
 * tokens of languages stand.
 */
#define _GNU_SOURCE
#include "golden_data.h"
#include "hf_builder.h"
#include "sentencepiece_model.h"
#include "tokenizer.h"

static struct scratch_dir scratch;
static struct nib_error err;

static int setup(void **state)
{
    (void)state;
    scratch_dir_create(&scratch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_dir_remove(&scratch);
    return 0;
}

#define STACKS(type, more)                                                                         \
    "{\"model_type\":\"" type "\",\"d_model\":8,\"encoder_layers\":1,\"decoder_layers\":1,"        \
    "\"encoder_attention_heads\":1,\"encoder_ffn_dim\":8,\"decoder_ffn_dim\":8" more "}"
#define GPT2 "{\"model_type\":\"gpt2\",\"n_embd\":8,\"n_layer\":1,\"n_head\":1}"
#define OPT                                                                                        \
    "{\"model_type\":\"opt\",\"hidden_size\":8,\"num_hidden_layers\":1,\"num_attention_heads\":1," \
    "\"ffn_dim\":8}"
#define LLAMA                                                                                      \
    "{\"model_type\":\"llama\",\"hidden_size\":8,\"num_hidden_layers\":1,"                         \
    "\"num_attention_heads\":1,\"intermediate_size\":8,\"tie_word_embeddings\":true}"

static const struct hf_tensor no_tensors[] = {{0}};

static struct nib_gguf *open_folder(const char *config)
{
    struct nib_gguf *gguf;
    scratch_write(&scratch, "config.json", config);
    hf_write_weights(&scratch, "model.safetensors", no_tensors);
    if (nib_hf_open(&gguf, scratch.path, &err) != NIB_OK)
        fail_msg("%s", err.message);
    return gguf;
}

static struct nib_tokenizer *open_tokenizer(const char *config)
{
    struct nib_tokenizer *t;
    struct nib_gguf *gguf = open_folder(config);
    if (nib_tokenizer_from_gguf(&t, gguf, &err) != NIB_OK)
        fail_msg("%s", err.message);
    nib_gguf_close(gguf);
    return t;
}

static void expect_refused(const char *config, const char *words)
{
    struct nib_gguf *gguf;
    scratch_write(&scratch, "config.json", config);
    hf_write_weights(&scratch, "model.safetensors", no_tensors);
    assert_int_equal(nib_hf_open(&gguf, scratch.path, &err), NIB_ERROR_FILE);
    if (!strstr(err.message, words))
        fail_msg("\"%s\" without \"%s\"", err.message, words);
}

static void write_bytes(const char *name, const void *bytes, size_t n)
{
    char path[512];
    FILE *file = fopen(scratch_path(&scratch, name, path), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static void expect_ids(const struct nib_tokenizer *t, const char *text, unsigned flags, size_t n,
                       const int32_t *expected)
{
    int32_t *ids;
    size_t n_ids;
    assert_int_equal(nib_tokenizer_encode(t, nib_str_from(text), flags, &ids, &n_ids, &err),
                     NIB_OK);
    assert_int_equal(n_ids, n);
    assert_memory_equal(ids, expected, n * sizeof(*ids));
    nib_free(ids);
}

/* ---- byte-level BPE -------------------------------------------------------------------------- */

/* The reference's vocabulary, without its special token, and its merges, as two files. */
static void write_bpe(void)
{
    yyjson_doc *doc = golden_json("tokenizers/bpe-bytelevel/tokenizer.json");
    yyjson_val *model = yyjson_obj_get(yyjson_doc_get_root(doc), "model"), *merge;
    char *vocab = yyjson_val_write(yyjson_obj_get(model, "vocab"), 0, NULL);
    scratch_write(&scratch, "vocab.json", vocab);
    free(vocab);
    char path[512];
    FILE *file = fopen(scratch_path(&scratch, "merges.txt", path), "w");
    assert_non_null(file);
    fputs("#version: 0.2\n", file);
    size_t i, n;
    yyjson_arr_foreach(yyjson_obj_get(model, "merges"), i, n, merge)
    {
        if (yyjson_is_str(merge))
            fprintf(file, "%s\n", yyjson_get_str(merge));
        else
            fprintf(file, "%s %s\n", yyjson_get_str(yyjson_arr_get(merge, 0)),
                    yyjson_get_str(yyjson_arr_get(merge, 1)));
    }
    assert_int_equal(fclose(file), 0);
    yyjson_doc_free(doc);
}

static struct nib_str from_hex(const char *hex)
{
    const size_t n = strlen(hex) / 2;
    char *bytes = malloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (char)byte;
    }
    bytes[n] = '\0';
    return (struct nib_str){bytes, n};
}

/* Call `check` with the text of each line that encodes one, and the line. */
static size_t each_text(const char *name,
                        void (*check)(struct nib_str text, yyjson_val *row, void *data), void *data)
{
    size_t n_bytes, n_checked = 0;
    char *all = (char *)golden_read(name, &n_bytes);
    for (char *line = strtok(all, "\n"); line; line = strtok(NULL, "\n")) {
        yyjson_doc *doc = yyjson_read(line, strlen(line), 0);
        yyjson_val *row = yyjson_doc_get_root(doc);
        const char *hex = yyjson_get_str(yyjson_obj_get(row, "hex"));
        if (hex) {
            const struct nib_str text = from_hex(hex);
            check(text, row, data);
            free((char *)text.data);
            n_checked++;
        }
        yyjson_doc_free(doc);
    }
    free(all);
    return n_checked;
}

static void expect_reference(struct nib_str text, yyjson_val *row, void *data)
{
    int32_t *ids;
    size_t n, i, n_expected;
    yyjson_val *expected = yyjson_obj_get(row, "ids"), *id;
    assert_int_equal(nib_tokenizer_encode(data, text, NIB_PARSE_SPECIAL, &ids, &n, &err), NIB_OK);
    assert_int_equal(n, yyjson_arr_size(expected));
    yyjson_arr_foreach(expected, i, n_expected, id)
    {
        assert_int_equal(ids[i], yyjson_get_int(id));
    }
    nib_free(ids);
}

static void test_vocabulary_and_merges_are_a_tokenizer(void **state)
{
    (void)state;
    write_bpe();
    struct nib_tokenizer *t = open_tokenizer(GPT2);
    assert_true(each_text("tokenizers/bpe-bytelevel/golden_hf.jsonl", expect_reference, t) > 100);
    nib_tokenizer_free(t);
}

/* The vocabulary with the tokens of BART behind it. */
static void add_to_vocab(const char *more)
{
    size_t n;
    char path[512], *text = malloc(1 << 20);
    FILE *file = fopen(scratch_path(&scratch, "vocab.json", path), "r");
    assert_non_null(file);
    n = fread(text, 1, (1 << 20) - 1024, file);
    fclose(file);
    assert_true(n > 0 && text[n - 1] == '}');
    strcpy(text + n - 1, more);
    scratch_write(&scratch, "vocab.json", text);
    free(text);
}

static void test_classes_put_their_tokens_around_texts(void **state)
{
    (void)state;
    write_bpe();
    add_to_vocab(",\"<s>\":2000,\"</s>\":2001,\"<pad>\":2002,\"<mask>\":2003}");
    struct nib_tokenizer *t = open_tokenizer(STACKS("bart", ""));
    expect_ids(t, "a", NIB_ADD_SPECIAL, 3, (const int32_t[]){2000, 64, 2001});
    expect_ids(t, "a<mask>", NIB_PARSE_SPECIAL, 2, (const int32_t[]){64, 2003});
    nib_tokenizer_free(t);

    t = open_tokenizer(OPT);
    expect_ids(t, "a", NIB_ADD_SPECIAL, 2, (const int32_t[]){2001, 64});
    nib_tokenizer_free(t);

    scratch_write(&scratch, "tokenizer_config.json",
                  "{\"tokenizer_class\":\"GPT2Tokenizer\",\"add_bos_token\":true,"
                  "\"bos_token\":{\"content\":\"<s>\"}}");
    t = open_tokenizer(GPT2);
    expect_ids(t, "a", NIB_ADD_SPECIAL, 2, (const int32_t[]){2000, 64});
    nib_tokenizer_free(t);

    scratch_write(&scratch, "tokenizer_config.json", "{\"tokenizer_class\":\"CLIPTokenizer\"}");
    expect_refused(GPT2, "CLIPTokenizer");
}

/* ---- SentencePiece under other ids ----------------------------------------------------------- */

struct renumbered {
    struct nib_tokenizer *plain, *made;
    const int32_t *id_of; /* [n] of the plain one's */
    int32_t end;
};

static void expect_renumbered(struct nib_str text, yyjson_val *row, void *data)
{
    const struct renumbered *r = data;
    int32_t *plain, *made;
    size_t n, n_made;
    (void)row;
    assert_int_equal(nib_tokenizer_encode(r->plain, text, 0, &plain, &n, &err), NIB_OK);
    assert_int_equal(nib_tokenizer_encode(r->made, text, NIB_ADD_SPECIAL, &made, &n_made, &err),
                     NIB_OK);
    assert_int_equal(n_made, n + 1);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(made[i], r->id_of[plain[i]]);
    assert_int_equal(made[n], r->end);
    char *a, *b;
    size_t n_a, n_b;
    assert_int_equal(nib_tokenizer_decode(r->plain, plain, n, 0, &a, &n_a, &err), NIB_OK);
    assert_int_equal(nib_tokenizer_decode(r->made, made, n_made, 0, &b, &n_b, &err), NIB_OK);
    assert_int_equal(n_a, n_b);
    assert_memory_equal(a, b, n_a);
    nib_free(a);
    nib_free(b);
    nib_free(plain);
    nib_free(made);
}

static void check_renumbered(const char *kind, const char *config, const int32_t *id_of,
                             int32_t end)
{
    char name[128], path[512];
    size_t n;
    snprintf(name, sizeof(name), "tokenizers/%s/tokenizer.model", kind);
    uint8_t *bytes = golden_read(name, &n);
    struct renumbered r = {.id_of = id_of, .end = end, .made = open_tokenizer(config)};
    static const char *const files[] = {"vocab.json", "source.spm", "sentencepiece.bpe.model",
                                        "spiece.model", "tokenizer_config.json"};
    for (size_t i = 0; i < NIB_COUNT(files); i++)
        remove(scratch_path(&scratch, files[i], path));
    write_bytes("tokenizer.model", bytes, n);
    r.plain = open_tokenizer(LLAMA);
    snprintf(name, sizeof(name), "tokenizers/%s/golden_sp.jsonl", kind);
    assert_true(each_text(name, expect_renumbered, &r) > 100);
    nib_tokenizer_free(r.plain);
    nib_tokenizer_free(r.made);
    free(bytes);
}

/* vocab.json has the pieces in reverse, among others that the model does not have. */
static int32_t *write_reversed(const char *kind, const char *model_name, const char *more)
{
    char name[128];
    struct nib_sp_model m;
    snprintf(name, sizeof(name), "tokenizers/%s/tokenizer.model", kind);
    size_t n;
    uint8_t *bytes = golden_read(name, &n);
    assert_int_equal(nib_sp_model_read(&m, (struct nib_str){(const char *)bytes, n}, name, &err),
                     NIB_OK);
    write_bytes(model_name, bytes, n);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    int32_t *id_of = malloc(m.n_pieces * sizeof(*id_of));
    for (size_t i = 0; i < m.n_pieces; i++) {
        id_of[i] = (int32_t)(m.n_pieces - 1 - i);
        yyjson_mut_obj_add(root, yyjson_mut_strncpy(doc, m.pieces[i].data, m.pieces[i].len),
                           yyjson_mut_int(doc, id_of[i]));
    }
    yyjson_mut_obj_add_int(doc, root, more, (int64_t)m.n_pieces);
    char *text = yyjson_mut_write(doc, 0, NULL);
    scratch_write(&scratch, "vocab.json", text);
    free(text);
    yyjson_mut_doc_free(doc);
    nib_sp_model_free(&m);
    free(bytes);
    return id_of;
}

/* In all models "</s>" is known; its id is the reversed one's. */
static int32_t find_piece(const char *kind, const char *piece)
{
    char name[128];
    size_t n, i = 0;
    struct nib_sp_model m;
    snprintf(name, sizeof(name), "tokenizers/%s/tokenizer.model", kind);
    uint8_t *bytes = golden_read(name, &n);
    assert_int_equal(nib_sp_model_read(&m, (struct nib_str){(const char *)bytes, n}, name, &err),
                     NIB_OK);
    while (i < m.n_pieces && !nib_str_equal(m.pieces[i], nib_str_from(piece)))
        i++;
    assert_true(i < m.n_pieces);
    nib_sp_model_free(&m);
    free(bytes);
    return (int32_t)i;
}

static void test_marian_has_ids_of_vocab_json(void **state)
{
    (void)state;
    int32_t *id_of = write_reversed("sp-unigram", "source.spm", ">>fra<<");
    struct nib_gguf *g = open_folder(STACKS("marian", ""));
    hf_expect_string(g, "nibble.languages.target", "source_prefix");
    hf_expect_string(g, "nibble.languages.format", ">>%s<<");
    assert_false(nib_gguf_has(g, "nibble.languages.source"));
    nib_gguf_close(g);
    check_renumbered("sp-unigram", STACKS("marian", ""), id_of,
                     id_of[find_piece("sp-unigram", "</s>")]);
    free(id_of);
}

static void test_pieces_of_the_target_alone_are_only_decoded(void **state)
{
    (void)state;
    int32_t *id_of = write_reversed("sp-unigram", "source.spm", "\xE2\x96\x81qqqq");
    struct nib_tokenizer *t = open_tokenizer(STACKS("marian", ""));
    const int32_t last = (int32_t)nib_tokenizer_info(t)->n_vocab - 1;
    int32_t *ids;
    char *text;
    size_t n, n_bytes;
    assert_int_equal(nib_tokenizer_encode(t, NIB_STR("qqqq"), 0, &ids, &n, &err), NIB_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_not_equal(ids[i], last);
    assert_int_equal(nib_tokenizer_decode(t, &last, 1, 0, &text, &n_bytes, &err), NIB_OK);
    assert_string_equal(text, "qqqq");
    nib_free(ids);
    nib_free(text);
    nib_tokenizer_free(t);
    free(id_of);
}

static void test_m2m100_has_languages_behind_its_vocabulary(void **state)
{
    (void)state;
    int32_t *id_of = write_reversed("sp-bpe", "sentencepiece.bpe.model", "<extra>");
    const int32_t end = id_of[find_piece("sp-bpe", "</s>")];
    scratch_write(&scratch, "special_tokens_map.json",
                  "{\"additional_special_tokens\":[\"__af__\",{\"content\":\"__am__\"}]}");
    struct nib_tokenizer *t = open_tokenizer(STACKS("m2m_100", ""));
    const int32_t n = (int32_t)nib_tokenizer_info(t)->n_vocab;
    assert_string_equal(nib_tokenizer_name(t, n - 2), "__af__");
    expect_ids(t, "__am__", NIB_PARSE_SPECIAL, 1, (const int32_t[]){n - 1});
    nib_tokenizer_free(t);
    check_renumbered("sp-bpe", STACKS("m2m_100", ""), id_of, end);
    free(id_of);
}

static void test_fairseq_puts_four_tokens_before_the_pieces(void **state)
{
    (void)state;
    static const char *const configs[] = {STACKS("mbart", ""), STACKS("m2m_100", "")};
    size_t n;
    uint8_t *bytes = golden_read("tokenizers/sp-bpe/tokenizer.model", &n);
    for (size_t k = 0; k < NIB_COUNT(configs); k++) {
        write_bytes("sentencepiece.bpe.model", bytes, n);
        scratch_write(&scratch, "special_tokens_map.json",
                      "{\"additional_special_tokens\":[\"en_XX\",\"de_DE\"]}");
        struct nib_tokenizer *t = open_tokenizer(configs[k]);
        const int32_t n_vocab = (int32_t)nib_tokenizer_info(t)->n_vocab;
        assert_string_equal(nib_tokenizer_name(t, 1), "<pad>");
        assert_string_equal(nib_tokenizer_name(t, n_vocab - 1), "<mask>");
        expect_ids(t, "de_DE", NIB_PARSE_SPECIAL, 1, (const int32_t[]){n_vocab - 2});
        nib_tokenizer_free(t);
        int32_t *id_of = malloc((size_t)n_vocab * sizeof(*id_of));
        for (int32_t i = 0; i < n_vocab; i++)
            id_of[i] = i == 0 ? 3 : i == 1 ? 0 : i == 2 ? 2 : i + 1;
        check_renumbered("sp-bpe", configs[k], id_of, 2);
        free(id_of);
    }
    free(bytes);
    scratch_write(&scratch, "special_tokens_map.json", "{}");
    scratch_write(&scratch, "sentencepiece.bpe.model", "");
    struct nib_gguf *g = open_folder(STACKS("mbart", ""));
    assert_false(nib_gguf_has(g, "nibble.tokenizer.model")); /* which languages is not known */
    nib_gguf_close(g);
}

static void test_vocabularies_with_holes_are_refused(void **state)
{
    (void)state;
    free(write_reversed("sp-unigram", "source.spm", "x y"));
    scratch_write(&scratch, "vocab.json", "{\"<unk>\":0,\"a\":2}");
    expect_refused(STACKS("marian", ""), "the ids must be 0 to 1");
    scratch_write(&scratch, "vocab.json", "{\"<unk>\":0,\"a\":0}");
    expect_refused(STACKS("marian", ""), "the ids must be 0 to 1");
    scratch_write(&scratch, "vocab.json", "{\"<unk>\":0,\"a\":1}");
    scratch_write(&scratch, "source.spm", "\x0A\x7F");
    expect_refused(STACKS("marian", ""), "damaged");
}

static void test_vocabularies_of_their_own_are_no_tokenizer(void **state)
{
    (void)state;
    free(write_reversed("sp-unigram", "source.spm", "x y"));
    scratch_write(&scratch, "target_vocab.json", "{}");
    struct nib_gguf *g = open_folder(STACKS("marian", ""));
    assert_false(nib_gguf_has(g, "nibble.tokenizer.model"));
    nib_gguf_close(g);
}

static void test_t5_has_sentinels_behind_its_pieces(void **state)
{
    (void)state;
    static const char config[] = "{\"model_type\":\"t5\",\"d_model\":8,\"num_layers\":1,"
                                 "\"num_heads\":1,\"d_ff\":8,\"vocab_size\":4000}";
    size_t n;
    uint8_t *bytes = golden_read("tokenizers/sp-unigram/tokenizer.model", &n);
    write_bytes("spiece.model", bytes, n);
    free(bytes);
    struct nib_tokenizer *t = open_tokenizer(config);
    const int32_t n_vocab = (int32_t)nib_tokenizer_info(t)->n_vocab;
    assert_string_equal(nib_tokenizer_name(t, n_vocab - 1), "<extra_id_0>");
    assert_string_equal(nib_tokenizer_name(t, n_vocab - 100), "<extra_id_99>");
    nib_tokenizer_free(t);
    int32_t *id_of = malloc((size_t)n_vocab * sizeof(*id_of));
    for (int32_t i = 0; i < n_vocab; i++)
        id_of[i] = i;
    check_renumbered("sp-unigram", config, id_of, find_piece("sp-unigram", "</s>"));
    free(id_of);
}

static void test_pegasus_has_pieces_before_its_model(void **state)
{
    (void)state;
    size_t n;
    uint8_t *bytes = golden_read("tokenizers/sp-unigram/tokenizer.model", &n);
    write_bytes("spiece.model", bytes, n);
    free(bytes);
    struct nib_tokenizer *t = open_tokenizer(STACKS("pegasus", ""));
    const int32_t n_vocab = (int32_t)nib_tokenizer_info(t)->n_vocab;
    assert_string_equal(nib_tokenizer_name(t, 3), "<mask_2>");
    assert_string_equal(nib_tokenizer_name(t, 104), "<unk_102>");
    assert_string_equal(nib_tokenizer_name(t, 105), "<unk>");
    nib_tokenizer_free(t);
    int32_t *id_of = malloc((size_t)n_vocab * sizeof(*id_of));
    for (int32_t i = 0; i < n_vocab; i++)
        id_of[i] = i < 2 ? i : i + 103;
    check_renumbered("sp-unigram", STACKS("pegasus", ""), id_of, 1);
    free(id_of);
}

/* ---- languages ------------------------------------------------------------------------------- */

static void test_where_languages_stand(void **state)
{
    (void)state;
    static const struct {
        const char *config, *settings, *source, *target, *format;
    } cases[] = {
        {STACKS("mbart", ",\"vocab_size\":250027"), "{}", "suffix", "decoder_start", "%s"},
        {STACKS("mbart", ",\"vocab_size\":250054"), "{}", "prefix", "forced_bos", "%s"},
        {STACKS("mbart", ",\"vocab_size\":250054"), "{\"tokenizer_class\":\"MBartTokenizerFast\"}",
         "suffix", "decoder_start", "%s"},
        {STACKS("m2m_100", ""), "{\"tokenizer_class\":\"M2M100Tokenizer\"}", "prefix", "forced_bos",
         "__%s__"},
        {STACKS("m2m_100", ""), "{\"tokenizer_class\":\"NllbTokenizer\"}", "prefix", "forced_bos",
         "%s"},
        {STACKS("m2m_100", ""),
         "{\"tokenizer_class\":\"NllbTokenizerFast\",\"legacy_behaviour\":true}", "suffix",
         "forced_bos", "%s"},
        {STACKS("m2m_100", ""), "{}", "prefix", "forced_bos", "%s"},
    };
    for (size_t i = 0; i < NIB_COUNT(cases); i++) {
        scratch_write(&scratch, "tokenizer_config.json", cases[i].settings);
        struct nib_gguf *g = open_folder(cases[i].config);
        hf_expect_string(g, "nibble.languages.source", cases[i].source);
        hf_expect_string(g, "nibble.languages.target", cases[i].target);
        hf_expect_string(g, "nibble.languages.format", cases[i].format);
        nib_gguf_close(g);
    }
    struct nib_gguf *g = open_folder(STACKS("bart", ""));
    assert_false(nib_gguf_has(g, "nibble.languages.target"));
    nib_gguf_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_vocabulary_and_merges_are_a_tokenizer, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_classes_put_their_tokens_around_texts, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_marian_has_ids_of_vocab_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pieces_of_the_target_alone_are_only_decoded, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_m2m100_has_languages_behind_its_vocabulary, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_fairseq_puts_four_tokens_before_the_pieces, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_vocabularies_with_holes_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vocabularies_of_their_own_are_no_tokenizer, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_t5_has_sentinels_behind_its_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pegasus_has_pieces_before_its_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_where_languages_stand, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
