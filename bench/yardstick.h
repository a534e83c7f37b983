/*
 * What benches share: sizes for this machine, memory that no cache holds, the threads, and timing
 * a piece of work against what the machine can do.  The peaks are measured right before and right
 * after each loop, by the same threads: clocks and neighbours change within seconds, and a share
 * of another minute's peak says little.
 */
#ifndef NIB_YARDSTICK_H
#define NIB_YARDSTICK_H

#include "harness.h"
#include "kernels.h"

struct nib_peak_loop;
struct nib_team;

/* Of the whole run, by nib_yard_open(). */
struct nib_yard {
    bool is_tiny; /* smallest sizes, to see that everything runs; times mean nothing */
    const char *isa_list;
    size_t l2_bytes, last_cache_bytes;
    size_t cold_bytes;     /* many times the last cache, at most 1.5 GB */
    struct nib_team *team; /* a thread for each core */
    int n_threads;
    uint8_t *cold; /* [cold_bytes] on huge pages if there are any; what benches stream through */
};

/* NULL and a message on stderr if it cannot be. */
const struct nib_yard *nib_yard_open(bool is_tiny);
void nib_yard_close(void);

/* Call fn(isa, features, data) for every level that runs here, best last.  Names stay valid. */
void nib_yard_each_isa(void (*fn)(const char *isa, unsigned features, void *data), void *data);

enum nib_work_kind {
    NIB_WORK_OTHER,    /* operations of no particular kind */
    NIB_WORK_INTEGERS, /* multiplications and additions of bytes */
    NIB_WORK_FLOATS,   /* of floats */
};

/* What one call of `run` does. */
struct nib_timed_work {
    const char *isa; /* may be NULL for NIB_WORK_OTHER */
    enum nib_work_kind kind;
    unsigned code_bits; /* of the integers */
    double n_ops;       /* a multiplication and its addition are two */
    double n_bytes;     /* read */
    bool is_cold;       /* from memory, so that bandwidth is a limit */
    bool is_team;       /* `run` uses the team: all cores' bandwidth */
    void (*run)(void *data);
    void *data;
};

/*
 * Time it: CPU time on one core, so that other processes cost little; the best call of the team, as
 * one thread that has to wait for its core holds up all, and the best of some reads is its peak.
 * Counters: GB/s, GOPS; peak_GB/s and peak_GOPS, where there is such a limit, else 0; memory%,
 * compute% and peak%, the greater of both.
 */
void nib_yard_time(struct nib_bench *b, const struct nib_timed_work *work);

/* Bytes/s read from memory by the calling thread (of its CPU time) or by the team; 0: not known. */
double nib_yard_bandwidth(bool is_team);

/* Operations/s of a loop of peak.h on the calling thread. */
double nib_yard_compute(const struct nib_peak_loop *loop);

/* Must the cold memory be filled before it holds what is named so?  It is the caller's from then
 * on. */
bool nib_yard_claim(const char *content);

/* Small random numbers, the same in every run. */
uint32_t nib_yard_random(void);
float nib_yard_random_float(void); /* in (-1, 1) */

/* What each file registers. */
void nib_register_peaks(const struct nib_yard *yard);
void nib_register_matmul(const struct nib_yard *yard);
void nib_register_attention(const struct nib_yard *yard);
void nib_register_floats(const struct nib_yard *yard);
void nib_register_sampling(const struct nib_yard *yard);

#endif
