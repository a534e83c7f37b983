/*
 * Splitting at matches, see hf_pretokenizer.h.  "the-final--countdown" at "-":
 *
 *     removed               the final countdown
 *     isolated              the - final - - countdown
 *     merged with previous  the- final- - countdown
 *     merged with next      the -final - -countdown
 *     contiguous            the - final -- countdown
 */
#include "hf_pretokenizer.h"

#include "hf_regex.h"

static enum nib_status push_part(struct nib_hf_splitter *s, struct nib_error *err)
{
    if (!s->has_part)
        return NIB_OK;
    s->has_part = false;
    return nib_hf_push_slice(s->out, s->from, s->start, s->end, err);
}

/* Does this part go together with the one before? */
static bool joins(const struct nib_hf_splitter *s, bool is_match)
{
    switch (s->behavior) {
    case NIB_HF_MERGED_WITH_PREVIOUS:
        return s->has_part && is_match && !s->was_match;
    case NIB_HF_MERGED_WITH_NEXT: /* a match takes what follows, if that is none */
        return s->has_part && s->part_is_match && !is_match;
    case NIB_HF_CONTIGUOUS:
        return s->has_part && is_match == s->was_match;
    default:
        return false;
    }
}

enum nib_status nib_hf_splitter_add(struct nib_hf_splitter *s, size_t start, size_t end,
                                    bool is_match, struct nib_error *err)
{
    is_match = is_match != s->inverts;
    if (joins(s, is_match)) {
        s->end = end;
        s->part_is_match = false;
        s->was_match = is_match;
        return NIB_OK;
    }
    const enum nib_status status = push_part(s, err);
    s->start = start;
    s->end = end;
    s->has_part = s->behavior != NIB_HF_REMOVED || !is_match;
    s->part_is_match = s->was_match = is_match;
    return status;
}

enum nib_status nib_hf_splitter_end(struct nib_hf_splitter *s, struct nib_error *err)
{
    return push_part(s, err);
}

/* The part [start, end), which may be empty, in which case it is none. */
static enum nib_status add_rest(struct nib_hf_splitter *s, size_t start, size_t end,
                                struct nib_error *err)
{
    return start == end ? NIB_OK : nib_hf_splitter_add(s, start, end, false, err);
}

enum nib_status nib_hf_split_by_class(struct nib_hf_splitter *s, struct nib_str text,
                                      nib_hf_class_fn *is_match, uint32_t parameter,
                                      struct nib_error *err)
{
    enum nib_status status = NIB_OK;
    const struct nib_str whole = {text.data, s->from->end};
    size_t rest = s->from->start;
    for (size_t i = rest; i < s->from->end && status == NIB_OK;) {
        const size_t start = i;
        if (!is_match(nib_hf_next(whole, &i), parameter))
            continue;
        status = add_rest(s, rest, start, err);
        if (status == NIB_OK)
            status = nib_hf_splitter_add(s, start, i, true, err);
        rest = i;
    }
    if (status == NIB_OK)
        status = add_rest(s, rest, s->from->end, err);
    return status == NIB_OK ? nib_hf_splitter_end(s, err) : status;
}

enum nib_status nib_hf_split_by_pattern(struct nib_hf_splitter *s, struct nib_hf_work *work,
                                        struct nib_str text, const struct nib_hf_pattern *pattern,
                                        struct nib_error *err)
{
    const size_t base = s->from->start;
    struct nib_hf_matches m = {.text = {text.data + base, s->from->end - base}};
    for (size_t rest = base;; rest = base + m.end) {
        bool is_found;
        enum nib_status status = nib_hf_pattern_next(pattern, work, &m, &is_found, err);
        if (status == NIB_OK)
            status = add_rest(s, rest, is_found ? base + m.start : s->from->end, err);
        if (status == NIB_OK && is_found)
            status = nib_hf_splitter_add(s, base + m.start, base + m.end, true, err);
        if (status != NIB_OK)
            return status;
        if (!is_found)
            return nib_hf_splitter_end(s, err);
    }
}
