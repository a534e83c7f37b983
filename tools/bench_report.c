/* See bench_report.h. */
#include "bench_report.h"
#include "settings.h"
#include "tensor_sums.h"

#include <yyjson.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { FORMAT_MD, FORMAT_JSON, FORMAT_JSONL, FORMAT_CSV };
const char *const nib_bench_formats[] = {"md", "json", "jsonl", "csv", NULL};

/* ---- figures -------------------------------------------------------------------------------- */

struct spread {
    double mean, stddev, median, min, max;
};

static int compare_numbers(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct spread spread_of(const double *values, size_t n)
{
    double sorted[NIB_BENCH_MAX_REPETITIONS], sum = 0, squares = 0;
    memcpy(sorted, values, n * sizeof *values);
    qsort(sorted, n, sizeof *sorted, compare_numbers);
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return (struct spread){
        .mean = mean,
        .stddev = n > 1 ? sqrt(squares / (double)(n - 1)) : 0,
        .median = 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]),
        .min = sorted[0],
        .max = sorted[n - 1],
    };
}

struct figures {
    double nanoseconds[NIB_BENCH_MAX_REPETITIONS], rates[NIB_BENCH_MAX_REPETITIONS];
    struct spread time, rate;
    double memory_gbs, memory_percent; /* of generation, at its median; 0 for prompts */
};

/* Bytes that one generated token reads: all weights, and the cache up to the middle of the test. */
static double token_bytes(const struct nib_bench_report *report, const struct nib_bench_test *test)
{
    const struct nib_model_info *info = nib_model_info(report->model);
    return (double)info->n_token_bytes + nib_settings_position_bytes(report->model) *
                                             ((double)test->n_depth + 0.5 * (double)test->n_gen);
}

static void compute_figures(const struct nib_bench_report *report,
                            const struct nib_bench_test *test, struct figures *out)
{
    for (size_t i = 0; i < test->n_samples; i++) {
        out->nanoseconds[i] = 1e9 * test->samples[i];
        out->rates[i] = (double)(test->n_prompt + test->n_gen) / test->samples[i];
    }
    out->time = spread_of(out->nanoseconds, test->n_samples);
    out->rate = spread_of(out->rates, test->n_samples);
    out->memory_gbs = out->memory_percent = 0;
    if (test->n_gen > 0) {
        out->memory_gbs = 1e-9 * token_bytes(report, test) * out->rate.median;
        if (report->bandwidth > 0)
            out->memory_percent = 100.0 * 1e9 * out->memory_gbs / report->bandwidth;
    }
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* "llama 135M Q4_1": the type that holds most of the bytes stands for all. */
static void describe_model(struct nib_bench_report *report)
{
    const struct nib_model_info *info = nib_model_info(report->model);
    struct nib_type_sum sums[NIB_MAX_TYPE_SUMS];
    const size_t n_types = nib_sum_types(report->model, sums);
    const char *type = "";
    uint64_t most = 0;
    for (size_t i = 0; i < n_types; i++) {
        if (sums[i].n_file_bytes > most) {
            most = sums[i].n_file_bytes;
            type = sums[i].type;
        }
    }
    const double millions = 1e-6 * (double)info->n_params;
    if (millions >= 1000)
        snprintf(report->type, sizeof report->type, "%.32s %.1fB %.16s", info->family,
                 1e-3 * millions, type);
    else
        snprintf(report->type, sizeof report->type, "%.32s %.*fM %.16s", info->family,
                 millions < 10 ? 1 : 0, millions, type);
}

static void describe_test(const struct nib_bench_test *test, char *out, size_t size)
{
    char depth[32] = "";
    if (test->n_depth)
        snprintf(depth, sizeof depth, "@d%lld", (long long)test->n_depth);
    if (test->n_gen)
        snprintf(out, size, "tg%lld%s", (long long)test->n_gen, depth);
    else
        snprintf(out, size, "pp%lld%s", (long long)test->n_prompt, depth);
}

static const char *kv_name(int choice)
{
    return nib_choices_kv[nib_settings_kv_type(choice)];
}

static void print_md_row(const struct nib_bench_report *report, const struct nib_context *context,
                         const struct nib_bench_test *test, const struct figures *figures)
{
    const struct nib_model_info *info = nib_model_info(report->model);
    char name[64], memory[64] = "       |      ";
    describe_test(test, name, sizeof name);
    if (report->n_rows == 0) {
        printf("machine: %s, %d cores; nibble %s, %s\n", report->machine.cpu_name,
               report->machine.n_cores, nib_version(), info->isa);
        printf(
            "| %-20s | %9s | %-10s | %7s | %-4s | %-4s | %-12s | %9s | %21s | %8s | %6s | %5s |\n",
            "model", "size", "backend", "threads", "ctk", "ctv", "test", "t/s", "min .. max", "+-",
            "GB/s", "% bw");
        printf(
            "| %-20s | %9s | %-10s | %7s | %-4s | %-4s | %-12s | %9s | %21s | %8s | %6s | %5s |\n",
            "--------------------", "--------:", "----------", "------:", "----", "----",
            "------------", "--------:", "--------------------:", "-------:", "-----:", "----:");
    }
    if (test->n_gen)
        snprintf(memory, sizeof memory, "%6.1f | %5.1f", figures->memory_gbs,
                 figures->memory_percent);
    else
        snprintf(memory, sizeof memory, "%6s | %5s", "", "");
    printf("| %-20s | %5.1f MiB | %-10s | %7d | %-4s | %-4s | %-12s | %9.2f | %9.2f .. %8.2f | "
           "%8.2f | %s |\n",
           report->type, (double)info->n_file_bytes / 1048576.0, info->isa,
           nib_context_info(context)->n_threads, kv_name(nib_settings.type_k),
           kv_name(nib_settings.type_v), name, figures->rate.median, figures->rate.min,
           figures->rate.max, figures->rate.stddev, memory);
}

static yyjson_mut_val *make_row(yyjson_mut_doc *doc, const struct nib_bench_report *report,
                                const struct nib_context *context,
                                const struct nib_bench_test *test, const struct figures *figures)
{
    const struct nib_model_info *info = nib_model_info(report->model);
    const struct nib_context_info *context_info = nib_context_info(context);
    yyjson_mut_val *row = yyjson_mut_obj(doc);
    char started[32];
    struct tm utc;
    gmtime_r(&test->started, &utc);
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &utc);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);

    yyjson_mut_obj_add_strcpy(doc, row, "build_commit", nib_version());
    yyjson_mut_obj_add_strcpy(doc, row, "cpu_info", report->machine.cpu_name);
    yyjson_mut_obj_add_str(doc, row, "backends", "CPU");
    yyjson_mut_obj_add_strcpy(doc, row, "isa", info->isa);
    yyjson_mut_obj_add_strcpy(doc, row, "cpu_plan", context_info->cpu_plan);
    yyjson_mut_obj_add_strcpy(doc, row, "model_filename", nib_settings.model);
    yyjson_mut_obj_add_strcpy(doc, row, "model_type", report->type);
    yyjson_mut_obj_add_uint(doc, row, "model_size", info->n_file_bytes);
    yyjson_mut_obj_add_uint(doc, row, "model_n_params", info->n_params);
    yyjson_mut_obj_add_uint(doc, row, "n_batch", context_info->n_batch);
    yyjson_mut_obj_add_int(doc, row, "n_threads", context_info->n_threads);
    yyjson_mut_obj_add_str(doc, row, "type_k", kv_name(nib_settings.type_k));
    yyjson_mut_obj_add_str(doc, row, "type_v", kv_name(nib_settings.type_v));
    yyjson_mut_obj_add_int(doc, row, "n_prompt", test->n_prompt);
    yyjson_mut_obj_add_int(doc, row, "n_gen", test->n_gen);
    yyjson_mut_obj_add_int(doc, row, "n_depth", test->n_depth);
    yyjson_mut_obj_add_strcpy(doc, row, "test_time", started);
    yyjson_mut_obj_add_uint(doc, row, "avg_ns", (uint64_t)figures->time.mean);
    yyjson_mut_obj_add_uint(doc, row, "stddev_ns", (uint64_t)figures->time.stddev);
    yyjson_mut_obj_add_real(doc, row, "avg_ts", figures->rate.mean);
    yyjson_mut_obj_add_real(doc, row, "stddev_ts", figures->rate.stddev);
    yyjson_mut_obj_add_real(doc, row, "median_ts", figures->rate.median);
    yyjson_mut_obj_add_real(doc, row, "min_ts", figures->rate.min);
    yyjson_mut_obj_add_real(doc, row, "max_ts", figures->rate.max);
    yyjson_mut_obj_add_real(doc, row, "mem_gbs", figures->memory_gbs);
    yyjson_mut_obj_add_real(doc, row, "pct_bw", figures->memory_percent);
    yyjson_mut_obj_add_real(doc, row, "bandwidth_gbs", 1e-9 * report->bandwidth);
    yyjson_mut_obj_add_real(doc, row, "rss_mib", (double)usage.ru_maxrss / 1024.0);
    yyjson_mut_obj_add_real(doc, row, "weights_huge_pct",
                            nib_settings_huge_percent(&report->weights));
    yyjson_mut_obj_add_real(doc, row, "kv_huge_pct", nib_settings_huge_percent(&report->cache));
    return row;
}

static void add_samples(yyjson_mut_doc *doc, yyjson_mut_val *row, const struct figures *figures,
                        size_t n)
{
    yyjson_mut_val *times = yyjson_mut_obj_add_arr(doc, row, "samples_ns");
    yyjson_mut_val *rates = yyjson_mut_obj_add_arr(doc, row, "samples_ts");
    for (size_t i = 0; i < n; i++) {
        yyjson_mut_arr_add_uint(doc, times, (uint64_t)figures->nanoseconds[i]);
        yyjson_mut_arr_add_real(doc, rates, figures->rates[i]);
    }
}

static void print_quoted(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void print_csv_row(yyjson_mut_val *row, bool has_names)
{
    size_t i, n;
    yyjson_mut_val *key, *value;
    if (has_names) {
        yyjson_mut_obj_foreach(row, i, n, key, value)
        {
            printf("%s%s", i ? "," : "", yyjson_mut_get_str(key));
        }
        putchar('\n');
    }
    yyjson_mut_obj_foreach(row, i, n, key, value)
    {
        if (i)
            putchar(',');
        if (yyjson_mut_is_str(value))
            print_quoted(yyjson_mut_get_str(value));
        else if (yyjson_mut_is_real(value))
            printf("%.6f", yyjson_mut_get_real(value));
        else
            printf("%lld", (long long)yyjson_mut_get_sint(value));
    }
    putchar('\n');
}

/* ---- the report ----------------------------------------------------------------------------- */

void nib_bench_report_begin(struct nib_bench_report *report, const struct nib_model *model,
                            int format)
{
    *report = (struct nib_bench_report){.model = model, .format = format};
    nib_machine_query(&report->machine);
    describe_model(report);
    if (format == FORMAT_JSON)
        putchar('[');
}

void nib_bench_report_add(struct nib_bench_report *report, const struct nib_context *context,
                          const struct nib_bench_test *test)
{
    struct figures figures;
    compute_figures(report, test, &figures);
    nib_model_memory(report->model, &report->weights);
    nib_context_memory(context, &report->cache);
    if (report->format == FORMAT_MD) {
        print_md_row(report, context, test, &figures);
        report->n_rows++;
        return;
    }
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *row = make_row(doc, report, context, test, &figures);
    if (report->format == FORMAT_CSV) {
        print_csv_row(row, report->n_rows == 0);
    } else {
        const bool is_line = report->format == FORMAT_JSONL;
        add_samples(doc, row, &figures, test->n_samples);
        char *text = yyjson_mut_val_write(row, is_line ? 0 : YYJSON_WRITE_PRETTY, NULL);
        printf("%s%s%s",
               is_line          ? ""
               : report->n_rows ? ",\n"
                                : "\n",
               text ? text : "{}", is_line ? "\n" : "");
        free(text);
    }
    yyjson_mut_doc_free(doc);
    report->n_rows++;
}

void nib_bench_report_end(struct nib_bench_report *report)
{
    if (report->format == FORMAT_JSON)
        printf("\n]\n");
    if (report->format == FORMAT_MD && report->n_rows > 0)
        printf("huge pages: %.0f %% of the weights, %.0f %% of the KV cache in use\n",
               nib_settings_huge_percent(&report->weights),
               nib_settings_huge_percent(&report->cache));
}
