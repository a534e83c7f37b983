/* The list of families, and the sizes that their tables share. */
#include "families.h"

static const struct nib_family *const families[] = {
    &nib_family_bloom,      &nib_family_command_r, &nib_family_falcon,   &nib_family_gemma,
    &nib_family_gemma2,     &nib_family_gemma3,    &nib_family_gpt2,     &nib_family_gptj,
    &nib_family_gptneox,    &nib_family_granite,   &nib_family_llama,    &nib_family_mpt,
    &nib_family_olmo2,      &nib_family_olmoe,     &nib_family_opt,      &nib_family_phi2,
    &nib_family_phi3,       &nib_family_qwen2,     &nib_family_qwen2moe, &nib_family_qwen3,
    &nib_family_qwen3moe,   &nib_family_smollm3,   &nib_family_stablelm, &nib_family_starcoder,
    &nib_family_starcoder2, &nib_family_bart,      &nib_family_m2m100,   &nib_family_marian,
    &nib_family_mbart,      &nib_family_pegasus,   &nib_family_t5,       &nib_family_transformer,
};

/* Names in the order of `families`. */
const char *nib_family_list(void)
{
    return "bloom, command-r, falcon, gemma, gemma2, gemma3, gpt2, gptj, gptneox, granite, llama "
           "(and mistral, mixtral), mpt, olmo2, olmoe, opt, phi2, phi3, qwen2, qwen2moe, qwen3, "
           "qwen3moe, smollm3, stablelm, starcoder, starcoder2; with an encoder: bart, m2m_100, "
           "marian, mbart, pegasus, t5, transformer";
}

const struct nib_family *nib_family_find(struct nib_str name)
{
    for (size_t i = 0; i < NIB_COUNT(families); i++)
        if (nib_str_equal(name, nib_str_from(families[i]->name)))
            return families[i];
    return NULL;
}

uint32_t nib_size_one(const struct nib_config *config)
{
    (void)config;
    return 1;
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

uint32_t nib_size_qk(const struct nib_config *config)
{
    return nib_size_q(config) + nib_size_kv(config);
}

uint32_t nib_size_experts(const struct nib_config *config)
{
    return config->n_experts;
}

uint32_t nib_size_ff_expert(const struct nib_config *config)
{
    return config->n_ff_expert;
}

uint32_t nib_size_ff_shared(const struct nib_config *config)
{
    return config->n_ff_shared;
}

uint32_t nib_size_buckets(const struct nib_config *config)
{
    return config->n_buckets;
}
