/*
 * What the machine can do: the integer and float loops of each level of instruction sets, and
 * reading memory.  The other benches measure the same beside each of their lines; these stand for
 * themselves.
 */
#include "peak.h"
#include "yardstick.h"

#include <stdio.h>

struct peak_case {
    const struct nib_peak_loop *loop;
};

static void run_loop(struct nib_bench *b, const void *arg)
{
    const struct peak_case *c = arg;
    enum { ROUNDS = 1000 };
    while (nib_bench_next(b))
        c->loop->run(ROUNDS);
    nib_bench_rate(b, "GOPS", 1e-9 * ROUNDS * c->loop->n_ops);
}

static void register_loop(const char *isa, const char *what, const struct nib_peak_loop *loop)
{
    char name[128];
    const struct peak_case c = {loop};
    snprintf(name, sizeof(name), "peak/%s/%s/%s", what, isa, loop->name);
    nib_bench_register(name, NIB_BENCH_CPU, run_loop, &c, sizeof(c));
}

static void register_level(const char *isa, unsigned features, void *data)
{
    (void)features, (void)data;
    const struct nib_peak *peak = nib_peak_of(isa);
    if (!peak)
        return;
    for (int i = 0; i < NIB_PEAK_CODES; i++)
        if (i == 0 || peak->integers[i].run != peak->integers[0].run)
            register_loop(isa, "integers", &peak->integers[i]);
    register_loop(isa, "floats", &peak->floats);
}

struct read_case {
    bool is_team;
};

static void run_read(struct nib_bench *b, const void *arg)
{
    const struct read_case *c = arg;
    double sum = 0;
    int n = 0;
    while (nib_bench_next(b)) {
        sum += nib_yard_bandwidth(c->is_team);
        n++;
    }
    nib_bench_value(b, "GB/s", n > 0 ? 1e-9 * sum / n : 0);
}

void nib_register_peaks(const struct nib_yard *yard)
{
    (void)yard;
    nib_yard_each_isa(register_level, NULL);
    nib_bench_register("peak/read/one", NIB_BENCH_CPU, run_read, &(struct read_case){false},
                       sizeof(struct read_case));
    nib_bench_register("peak/read/all", NIB_BENCH_REAL, run_read, &(struct read_case){true},
                       sizeof(struct read_case));
}
