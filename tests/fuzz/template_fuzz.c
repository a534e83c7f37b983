/*
 * Any bytes as a template: it is parsed and rendered or refused, within its bounds.  What follows
 * the first zero byte is the JSON of its variables; without one they are those below.
 */
#include "template.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char variables[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},{\"role\":\"user\",\"content\":"
    "[{\"type\":\"text\",\"text\":\"Z\xC3\xBCrich \xF0\x9F\x99\x82\"}]},{\"role\":\"assistant\","
    "\"content\":null,\"tool_calls\":[{\"id\":\"a1\",\"function\":{\"name\":\"f\",\"arguments\":"
    "{\"x\":1.5,\"y\":[true,null,-3]}}}]}],\"tools\":[{\"type\":\"function\",\"function\":{"
    "\"name\":"
    "\"f\",\"parameters\":{\"properties\":{\"x\":{\"type\":\"number\"}},\"required\":[\"x\"]}}}],"
    "\"add_generation_prompt\":true,\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"s\":\"ab c\","
    "\"l\":[3,1,2],\"d\":{\"k\":\"v\",\"items\":1},\"n\":7,\"f\":-0.5}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *text = (const char *)data;
    const char *zero = n ? memchr(text, '\0', n) : NULL;
    struct nib_str source = {text, n}, json = {variables, sizeof variables - 1};
    struct nib_template *tpl;
    struct nib_error err;
    if (zero) {
        source.len = (size_t)(zero - text);
        json = (struct nib_str){zero + 1, n - source.len - 1};
    }
    if (nib_template_parse(&tpl, source, &err) != NIB_OK)
        return 0;
    char *out;
    size_t n_bytes;
    if (nib_template_render(tpl, json, 1773500966, &out, &n_bytes, &err) == NIB_OK) {
        if (out[n_bytes] != '\0' || n_bytes > NIB_TEMPLATE_MAX_OUTPUT)
            abort();
        free(out);
    }
    nib_template_free(tpl);
    return 0;
}
