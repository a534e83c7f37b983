/* Taking blanks out of decoded text, see clean_spaces.h. */
#include "clean_spaces.h"

/* Take out the blanks before any of `words`, which end in a NULL. */
static size_t remove_blank_before(char *text, size_t n, const char *const *words)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_removed = false;
        for (size_t w = 0; text[i] == ' ' && words[w] != NULL && !is_removed; w++) {
            const size_t len = strlen(words[w]);
            is_removed = n - i - 1 >= len && memcmp(text + i + 1, words[w], len) == 0;
        }
        if (!is_removed)
            text[n_out++] = text[i];
    }
    return n_out;
}

static size_t join_apostrophes(char *text, size_t n)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        if (n - i >= 3 && memcmp(text + i, " ' ", 3) == 0) {
            text[n_out++] = '\'';
            i += 2;
        } else {
            text[n_out++] = text[i];
        }
    }
    return n_out;
}

size_t nib_clean_spaces(char *text, size_t n)
{
    static const char *const marks[] = {".", "?", "!", ",", NULL};
    static const char *const endings[] = {"'s", "'m", "'re", "'ve", NULL};
    n = remove_blank_before(text, n, marks);
    n = join_apostrophes(text, n);
    return remove_blank_before(text, n, endings);
}
