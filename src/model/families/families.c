/* The list of families. */
#include "families.h"

static const struct nib_family *const families[] = {
    &nib_family_llama,
};

/* Names in the order of `families`. */
const char *nib_family_list(void)
{
    return "llama";
}

const struct nib_family *nib_family_find(struct nib_str name)
{
    for (size_t i = 0; i < NIB_COUNT(families); i++)
        if (nib_str_equal(name, nib_str_from(families[i]->name)))
            return families[i];
    return NULL;
}

uint32_t nib_size_embd(const struct nib_config *config)
{
    return config->n_embd;
}

uint32_t nib_size_ff(const struct nib_config *config)
{
    return config->n_ff;
}

uint32_t nib_size_q(const struct nib_config *config)
{
    return config->n_heads * config->d_head;
}

uint32_t nib_size_kv(const struct nib_config *config)
{
    return config->n_kv_heads * config->d_head;
}
