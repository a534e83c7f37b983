/* What the machine has. */
#include "kernels.h"
#include "topology.h"

void nib_machine_query(struct nib_machine_info *out)
{
    const unsigned features = nib_cpu_features();
    *out = (struct nib_machine_info){
        .isa = nib_isa_name(features),
        .isa_list = nib_isa_list(features),
        .n_cores = 1,
        .n_threads = 1,
    };
    nib_cpu_name(out->cpu_name);
    struct nib_cpu_plan *plan;
    if (nib_cpu_plan_create(&plan, 0, NULL) == NIB_OK) {
        out->n_cores = nib_cpu_plan_cores(plan);
        out->n_threads = nib_cpu_plan_threads(plan);
    }
    nib_cpu_plan_free(plan);
}
