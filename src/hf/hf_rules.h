/* Names of tensors, by parts that families share: hf_rules.c. */
#ifndef NIB_HF_RULES_H
#define NIB_HF_RULES_H

#include "hf_family.h"

/* Of a table's rows the first whose name is that of the tensor counts, unless several, of which all
 * count, take parts of it. */
extern const struct nib_hf_rule nib_hf_rules_llama_rest[]; /* all but q, k, v and experts */
extern const struct nib_hf_rule nib_hf_rules_qkv[], nib_hf_rules_qkv_pairs[];
extern const struct nib_hf_rule nib_hf_rules_experts[], nib_hf_rules_mixtral[];
extern const struct nib_hf_rule nib_hf_rules_gemma[], nib_hf_rules_gemma2[], nib_hf_rules_gemma3[];
extern const struct nib_hf_rule nib_hf_rules_phi[], nib_hf_rules_phi3[], nib_hf_rules_olmo2[];
extern const struct nib_hf_rule nib_hf_rules_stablelm[], nib_hf_rules_starcoder2[];
extern const struct nib_hf_rule nib_hf_rules_gpt2[], nib_hf_rules_bigcode[], nib_hf_rules_gptj[];
extern const struct nib_hf_rule nib_hf_rules_neox[], nib_hf_rules_bloom[], nib_hf_rules_falcon[];
extern const struct nib_hf_rule nib_hf_rules_mpt[], nib_hf_rules_opt[];
extern const struct nib_hf_rule nib_hf_rules_t5[], nib_hf_rules_bart[], nib_hf_rules_sinusoids[];

/* Buffers that are saved with some models, and vision parts: transformers ignores them too. */
bool nib_hf_is_ignored(const char *name);
/* What quantised checkpoints have beside or instead of weights. */
bool nib_hf_is_quantised(const char *name);

#endif
