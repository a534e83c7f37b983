/*
 * The table of pre-tokenizers.  The patterns are those of the tokenizer.json files (or the Python
 * code) that the models were published with; "(?i:...)" is written out in ASCII, intersections of
 * classes as the complement of a union.  The names, and which name means which pattern, are those
 * of llama.cpp's converter.
 */
#include "split_patterns.h"

const char nib_split_threes[] = "threes";
const char nib_split_threes_of_words[] = "threes of words";
const char nib_split_before_threes[] = "before threes";

/* Unicode's White_Space, for use within [].  PCRE2's own \s still has U+180E. */
#define SPACE                                                                                      \
    "\\x09-\\x0D\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}"   \
    "\\x{3000}"
#define S "[" SPACE "]"

/* Parts of many patterns. */
#define BLANKS      S "+(?![^" SPACE "])|" S "+"
#define LINES       S "*[\\r\\n]+"
#define ENDING      "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
#define WORD        "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define SIGNS(tail) " ?[^" SPACE "\\p{L}\\p{N}]+" tail

#define GPT2           "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|" SIGNS("") "|" BLANKS
#define LLAMA3(digits) ENDING "|" WORD "|" digits "|" SIGNS("[\\r\\n]*") "|" LINES "|" BLANKS

/* Words that begin in upper case, if any of it, and go on in lower case. */
#define UPPER "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define LOWER "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define CASED(upper, lower, ending)                                                                \
    "[^\\r\\n\\p{L}\\p{N}]?" upper "*" lower "+" ending "|[^\\r\\n\\p{L}\\p{N}]?" upper "+" lower  \
    "*" ending
#define GPT4O(digits, ending)                                                                      \
    CASED("[" UPPER "]", "[" LOWER "]", ending)                                                    \
    "|" digits "|" SIGNS("[\\r\\n/]*") "|" LINES "|" BLANKS

/* The same without Han: what is none of the other categories, nor Han. */
#define NOT_HAN_UPPER "[^\\p{Ll}\\p{N}\\p{P}\\p{S}\\p{Z}\\p{C}\\p{sc:Han}]"
#define NOT_HAN_LOWER "[^\\p{Lu}\\p{Lt}\\p{N}\\p{P}\\p{S}\\p{Z}\\p{C}\\p{sc:Han}]"

#define DEEPSEEK_WORDS                                                                             \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"                                        \
    "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
#define DEEPSEEK_SIGNS " ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES "|" BLANKS
#define HAN_AND_KANA   "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"

#define BLOOM " ?[^(" SPACE "|.,!?…。，、।۔،)]+"

static const struct nib_split_pattern gpt2 = {{GPT2}};
static const struct nib_split_pattern digits_then_gpt2 = {{"\\p{N}", GPT2}};
static const struct nib_split_pattern llama3 = {{LLAMA3("\\p{N}{1,3}")}};
static const struct nib_split_pattern qwen2 = {{LLAMA3("\\p{N}")}};
static const struct nib_split_pattern lines_then_qwen2 = {{"[^\\n]+|\\n+", LLAMA3("\\p{N}")}};
static const struct nib_split_pattern minicpm5 = {{"\\p{N}{1,3}", LLAMA3("\\p{N}+")}};
static const struct nib_split_pattern gpt4o = {{GPT4O("\\p{N}{1,3}", "(?:" ENDING ")?")}};
static const struct nib_split_pattern tekken = {{GPT4O("\\p{N}", "")}};
static const struct nib_split_pattern tiny_aya = {
    {nib_split_threes_of_words, GPT4O("\\p{N}{1,3}", "(?:" ENDING ")?")}};
static const struct nib_split_pattern superbpe = {{"\\p{N}+", nib_split_before_threes}};
static const struct nib_split_pattern bloom = {{BLOOM}};
static const struct nib_split_pattern viking = {{BLOOM, "\\p{N}"}};
static const struct nib_split_pattern falcon = {{"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}};
static const struct nib_split_pattern by_default = {
    {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}};

static const struct nib_split_pattern qwen35 = {
    {ENDING "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"
            "| ?[^" SPACE "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES "|" BLANKS}};
static const struct nib_split_pattern ufakzeka = {
    {WORD "|\\p{N}|" SIGNS("[\\r\\n]*") "|" LINES "|" BLANKS}};
static const struct nib_split_pattern seed_coder = {
    {ENDING "|" WORD "|\\p{N}| ?[^" SPACE "\\p{L}\\p{N}\\r\\n]+|" LINES "|" BLANKS}};
static const struct nib_split_pattern bailingmoe = {
    {ENDING "|" WORD "|\\p{N}|" SIGNS("[\\r\\n]*") "|" S "*[\\r\\n]|" BLANKS}};
static const struct nib_split_pattern exaone_moe = {
    {ENDING "|[^\\r\\n\\p{L}\\p{N}]?(?>\\p{L}\\p{M}*+(?: \\p{L}\\p{M}*+)*+)++|\\p{N}|" SIGNS(
        "[\\r\\n/]?") "|" S "*[\\r\\n]|" BLANKS}};
/* Blanks in runs of powers of two, by a stage of their own: parts that are not all blanks or end a
 * line stay as they are. */
static const struct nib_split_pattern jais2 = {
    {LLAMA3("\\p{N}{1,3}"),
     "\\A" S "*+[^" SPACE "](?s:.*)|\\A(?s:.*)[\\r\\n]\\z|" S "{512}|" S "{256}|" S "{128}|" S
     "{64}|" S "{32}|" S "{16}|" S "{8}|" S "{4}|" S "{1,2}"}};
static const struct nib_split_pattern kimi_k2 = {
    {"\\p{sc:Han}+|" CASED(NOT_HAN_UPPER, NOT_HAN_LOWER, "(?:" ENDING ")?") "|\\p{N}{1,3}|" SIGNS(
        "[\\r\\n]*") "|" LINES "|" BLANKS}};

/* Letters with upper and lower case, as deepseek-llm lists them. */
#define CASED_LETTERS                                                                              \
    "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}"                 \
    "\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}"         \
    "\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}"                  \
    "\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}"                       \
    "\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}"                 \
    "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}"                 \
    "\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}"                 \
    "\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}"         \
    "\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}"                           \
    "\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}"                 \
    "\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}"          \
    "\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}"                  \
    "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}"         \
    "\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}"                  \
    "\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}"                 \
    "\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}"                 \
    "\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}"         \
    "\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}"

static const struct nib_split_pattern deepseek_llm = {
    {"[\\r\\n]", S "?[" CASED_LETTERS "]+",
     S "?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+",
     S "+$", "[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+", "\\p{N}"}};
static const struct nib_split_pattern deepseek_coder = {
    {"[\\r\\n]", S "?\\p{L}+", S "?\\p{P}+",
     "[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+", "\\p{N}"}};
static const struct nib_split_pattern deepseek_v3 = {
    {"\\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK_WORDS "|" DEEPSEEK_SIGNS}};
static const struct nib_split_pattern spark2_5 = {
    {"\\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK_WORDS "| ?[\\p{P}\\p{S}]+|[\\r\\n]|" BLANKS, "\\p{N}"}};
static const struct nib_split_pattern afmoe = {
    {nib_split_threes,
     "[\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{F900}-\\x{FAFF}\\x{3040}-\\x{30FF}"
     "\\x{FF65}-\\x{FF9F}\\x{2F00}-\\x{2FDF}\\x{0E40}-\\x{0EFF}\\x{1780}-\\x{17FF}"
     "\\x{1000}-\\x{109F}\\x{AA60}-\\x{AA7F}\\x{A9E0}-\\x{A9FF}\\x{AC00}-\\x{D7AF}"
     "\\x{1100}-\\x{11FF}]+",
     DEEPSEEK_WORDS "|" DEEPSEEK_SIGNS}};
static const struct nib_split_pattern youtu = {
    {"[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+|[！…“”‘’—：；，\\x{3001}-\\x{303F}"
     "\\x{FE30}-\\x{FE4F}]+|[\\x{3105}-\\x{312F}]+|" HAN_AND_KANA,
     GPT4O("\\p{N}", "(?:" ENDING ")?")}};
static const struct nib_split_pattern chameleon = {{"<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z",
                                                    "[\\t\\n]|    |  ", "\\p{N}",
                                                    "[\\p{P}!-/:-@\\[-`{-~]", GPT2}};

static const struct nib_split_row table[] = {
    /* name, adds_bos, takes_whole_words, cleans_spaces */
    {{"default", false, false, true}, &by_default},
    {{"gpt-2", false, false, true}, &gpt2},
    {{"phi-2", false, false, true}, &gpt2},
    {{"mpt", false, false, true}, &gpt2},
    {{"olmo", false, false, true}, &gpt2},
    {{"jais", false, false, true}, &gpt2},
    {{"gigachat", false, false, true}, &gpt2},
    {{"mellum", false, false, true}, &gpt2},
    {{"exaone4", false, false, true}, &gpt2},
    {{"a.x-4.0", false, false, true}, &gpt2},
    {{"modern-bert", false, false, true}, &gpt2},
    {{"jina-es", false, false, true}, &gpt2},
    {{"jina-de", false, false, true}, &gpt2},
    {{"jina-v2-es", false, false, true}, &gpt2},
    {{"jina-v2-de", false, false, true}, &gpt2},
    {{"trillion", false, false, false}, &gpt2},
    {{"granite-docling", false, false, false}, &gpt2},
    {{"smollm", false, false, false}, &digits_then_gpt2},
    {{"starcoder", false, false, true}, &digits_then_gpt2},
    {{"refact", false, false, true}, &digits_then_gpt2},
    {{"command-r", false, false, false}, &digits_then_gpt2},
    {{"codeshell", false, false, true}, &digits_then_gpt2},
    {{"exaone", false, false, true}, &digits_then_gpt2},
    {{"minerva-7b", false, false, true}, &digits_then_gpt2},
    {{"mellum2", false, false, true}, &digits_then_gpt2},
    {{"llama-bpe", true, true, true}, &llama3},
    {{"llama3", true, true, true}, &llama3},
    {{"llama-v3", true, true, true}, &llama3},
    {{"falcon3", true, true, true}, &llama3},
    {{"falcon-h1", true, true, true}, &llama3},
    {{"pixtral", true, true, true}, &llama3},
    {{"midm-2.0", true, true, true}, &llama3},
    {{"lfm2", true, true, true}, &llama3},
    {{"jina-v5-nano", true, true, true}, &llama3},
    {{"dbrx", false, false, true}, &llama3},
    {{"smaug-bpe", false, false, true}, &llama3},
    {{"chatglm-bpe", false, false, true}, &llama3},
    {{"glm4", false, true, true}, &llama3},
    {{"glm5", false, true, true}, &llama3},
    {{"minicpm5", false, true, true}, &minicpm5},
    {{"jais-2", false, false, true}, &jais2},
    {{"qwen2", false, false, false}, &qwen2},
    {{"deepseek-r1-qwen", false, false, false}, &qwen2},
    {{"kormo", false, false, false}, &qwen2},
    {{"f2llmv2", false, false, false}, &qwen2},
    {{"hunyuan", false, false, false}, &qwen2},
    {{"grok-2", false, false, false}, &qwen2},
    {{"solar-open", false, false, false}, &qwen2},
    {{"stablelm2", false, false, true}, &qwen2},
    {{"megrez", false, false, true}, &qwen2},
    {{"laguna", false, false, false}, &lines_then_qwen2},
    {{"qwen35", false, false, false}, &qwen35},
    {{"ufakzeka", false, false, false}, &ufakzeka},
    {{"seed-coder", false, false, false}, &seed_coder},
    {{"bailingmoe", false, false, false}, &bailingmoe},
    {{"bailingmoe2", false, false, false}, &bailingmoe},
    {{"llada-moe", false, false, false}, &bailingmoe},
    {{"exaone-moe", false, false, true}, &exaone_moe},
    {{"gpt-4o", false, false, false}, &gpt4o},
    {{"llama4", false, false, false}, &gpt4o},
    {{"kanana2", false, false, false}, &gpt4o},
    {{"talkie", false, false, false}, &gpt4o},
    {{"minimax-m2", false, false, false}, &gpt4o},
    {{"granite-embed-multi-97m", false, true, false}, &gpt4o},
    {{"tekken", true, true, false}, &tekken},
    {{"tiny_aya", false, false, false}, &tiny_aya},
    {{"cohere2moe", false, false, false}, &tiny_aya},
    {{"kimi-k2", false, false, false}, &kimi_k2},
    {{"youtu", false, true, false}, &youtu},
    {{"deepseek-llm", false, false, false}, &deepseek_llm},
    {{"deepseek-coder", false, false, false}, &deepseek_coder},
    {{"deepseek-v3", false, false, false}, &deepseek_v3},
    {{"hunyuan-dense", false, false, false}, &deepseek_v3},
    {{"joyai-llm", false, false, false}, &deepseek_v3},
    {{"hy_v4", false, false, false}, &deepseek_v3},
    {{"spark2_5", false, false, false}, &spark2_5},
    {{"afmoe", false, false, false}, &afmoe},
    {{"falcon", false, false, true}, &falcon},
    {{"bloom", false, false, true}, &bloom},
    {{"gpt3-finnish", false, false, true}, &bloom},
    {{"poro-chat", false, false, false}, &bloom},
    {{"viking", false, false, false}, &viking},
    {{"superbpe", false, false, false}, &superbpe},
    {{"chameleon", true, false, false}, &chameleon},
};

const struct nib_split_row *nib_split_row_find(struct nib_str name)
{
    for (size_t i = 0; i < NIB_COUNT(table); i++)
        if (nib_str_equal(name, nib_str_from(table[i].traits.name)))
            return &table[i];
    return NULL;
}

const struct nib_split_row *nib_split_row_at(size_t i)
{
    return i < NIB_COUNT(table) ? &table[i] : NULL;
}
