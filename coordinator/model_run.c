/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/model_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "coordinator/command.h"
#include "coordinator/terminal.h"
#include "worker/host.h"
#include "worker/model/pretokenizer.h"
#include "worker/place.h"

struct options {
    const char *file, *prompt, *json, *device, *kernel, *layout, *seed;
    int64_t tokens, warmup, context;
    int threads;
    double temperature, top_p;
    int64_t top_k;
    bool is_wide, ignores_end;
};

enum {
    BEFORE_KEYS = 255,
#define OPTION(KEY, name, argument, meaning) KEY,
#define FLAG(KEY, name, meaning)             KEY,
#include "coordinator/model_run.def"
#undef OPTION
#undef FLAG
};

enum { BATCH = 128, TOKENS_MOST = 1 << 20 };

static const struct argp_option option_list[] = {
#define OPTION(KEY, name, argument, meaning) {name, KEY, argument, 0, meaning, 0},
#define FLAG(KEY, name, meaning)             {name, KEY, NULL, 0, meaning, 0},
#include "coordinator/model_run.def"
#undef OPTION
#undef FLAG
    {0}};

static int64_t count_of(struct argp_state *state, const char *what, const char *arg, int64_t least,
                        int64_t most)
{
    char *end;
    const long long count = strtoll(arg, &end, 10);
    if (end == arg || *end || count < least || count > most)
        argp_failure(state, TG_STATUS_USAGE, 0, "unusable %s '%s': %" PRId64 " to %" PRId64, what,
                     arg, least, most);
    return count;
}

static double real_of(struct argp_state *state, const char *what, const char *arg, double most)
{
    char *end;
    const double real = strtod(arg, &end);
    if (end == arg || *end || !(real >= 0 && real <= most))
        argp_failure(state, TG_STATUS_USAGE, 0, "unusable %s '%s': 0 to %g", what, arg, most);
    return real;
}

static error_t parse_how(int key, char *arg, struct argp_state *state, struct options *o)
{
    switch (key) {
    case DEVICE: o->device = strcmp(arg, "cpu") == 0 ? NULL : arg; return 0;
    case KERNEL: o->kernel = arg; return 0;
    case LAYOUT: o->layout = arg; return 0;
    case THREADS: o->threads = (int)count_of(state, "threads", arg, 1, TG_PLACE_CORES); return 0;
    case CONTEXT: o->context = count_of(state, "context", arg, 1, TOKENS_MOST); return 0;
    case TEMPERATURE: o->temperature = real_of(state, "temperature", arg, 100); return 0;
    case TOP_K: o->top_k = count_of(state, "top-k", arg, 0, TOKENS_MOST); return 0;
    case TOP_P: o->top_p = real_of(state, "top-p", arg, 1); return 0;
    case SEED: o->seed = tg_command_seed(state, arg); return 0;
    case IGNORE_END: o->ignores_end = true; return 0;
    case KV:
        if (strcmp(arg, "f16") != 0 && strcmp(arg, "f32") != 0)
            argp_failure(state, TG_STATUS_USAGE, 0, "unusable kv '%s': f16 or f32", arg);
        o->is_wide = strcmp(arg, "f32") == 0;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case PROMPT: o->prompt = arg; return 0;
    case TOKENS: o->tokens = count_of(state, "tokens", arg, 1, TOKENS_MOST); return 0;
    case WARMUP: o->warmup = count_of(state, "warmup-tokens", arg, 0, TOKENS_MOST); return 0;
    case JSON: o->json = arg; return 0;
    case ARGP_KEY_ARG: tg_command_take(state, "file", &o->file, arg); return 0;
    case ARGP_KEY_END:
        if (!o->file) o->file = getenv("BITNET_GGUF");
        if (!o->file || !*o->file)
            argp_failure(state, TG_STATUS_USAGE, 0, "run needs a file, or BITNET_GGUF");
        return 0;
    default: return parse_how(key, arg, state, o);
    }
}

static const struct argp argp = {
    option_list,
    parse,
    "FILE",
    "Generates text with a GGUF file, and tells what each stage took (docs/MODELS.md). With "
    "BITNET_DETERMINISTIC=1 the best token is always taken. FILE is BITNET_GGUF if it is not "
    "given.\v"
    "Exit status: 0, 3 if nothing could be generated (an unusable file or option, or no memory), 4 "
    "if the JSON could not be written.",
    NULL,
    NULL,
    NULL};

static double whole_ms(double seconds)
{
    return round(seconds * 1e3);
}

/* NAN where nothing was counted, or timed. */
static double rate(double count, double seconds)
{
    return count > 0 && seconds > 0 ? count / seconds : NAN;
}

/* Where a number is asked for by those who read it. */
static double rate_or_0(double count, double seconds)
{
    const double known = rate(count, seconds);
    return isnan(known) ? 0 : known;
}

/* Of the time in which what a token reads could be read; NAN if either is unknown. */
static double bound_share(const struct tg_model_run_report *r, double decode_rate, double bytes)
{
    return r->read_rate > 0 ? decode_rate * bytes / r->read_rate : NAN;
}

static double memory_of(const struct tg_model_run_report *r)
{
    return r->memory_bytes < 0 ? NAN : (double)r->memory_bytes;
}

/* Tokens that decoding made: all but the first. */
static double decoded_of(const struct tg_generation *g)
{
    return g->tokens.count > 0 ? (double)g->tokens.count - 1 : 0;
}

/* Bytes as a text of JSON: what is no UTF-8, or 0, which would end it, becomes U+FFFD. */
static void add_bytes(struct tg_json *object, const char *key, const char *bytes, size_t size)
{
    char *text = malloc(3 * size + 1);
    size_t out = 0;
    for (size_t at = 0; text && at < size;) {
        const struct tg_gguf_text rest = {bytes + at, size - at};
        const size_t own = bytes[at] ? tg_pretokenizer_character(rest) : 0;
        memcpy(text + out, own ? bytes + at : "\xef\xbf\xbd", own ? own : 3);
        out += own ? own : 3;
        at += own ? own : 1;
    }
    if (text) text[out] = 0;
    tg_json_add_text(object, key, text ? text : "");
    free(text);
}

/* The kernel of the ternary products, or the device, which has its own. */
static const char *computer_of(const struct tg_session *s)
{
    return s->device ? s->device->name : s->weights.matrices[0].kernel->name;
}

static void add_own(struct tg_json *root, const struct tg_model_run_report *r)
{
    const struct tg_session *s = r->session;
    const struct tg_generation *g = r->generation;
    struct tg_json *own = tg_json_object(root, "tritgate");
    const double decode_rate = rate(decoded_of(g), g->decode_s);
    const int64_t position = (int64_t)(g->prompt.count + g->tokens.count / 2);
    const double bytes = (double)tg_session_token_bytes(s, position);
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"load_s", s->load_s},
                   {"quantise_s", s->quantise_s},
                   {"tokenize_s", g->tokenize_s},
                   {"prefill_s", g->prefill_s},
                   {"first_token_s", g->first_token_s},
                   {"decode_s", g->decode_s},
                   {"end_s", g->end_s},
                   {"choose_s", g->choose_s},
                   {"activations_s", g->stages.prepare},
                   {"products_s", g->stages.products},
                   {"attention_s", g->stages.attention},
                   {"head_s", g->stages.head},
                   {"device_load_s", g->device.load},
                   {"copy_in_s", g->device.copy_in},
                   {"device_prompt_s", g->device.prompt},
                   {"device_step_s", g->device.step},
                   {"copy_out_s", g->device.copy_out},
                   {"prompt_tokens", (double)g->prompt.count},
                   {"prefill_rate", rate((double)g->prompt.count, g->prefill_s)},
                   {"decode_rate", decode_rate},
                   {"token_s_p50", tg_session_token_s(g, 0.5)},
                   {"token_s_p95", tg_session_token_s(g, 0.95)},
                   {"token_bytes", bytes},
                   {"read_rate", r->read_rate > 0 ? r->read_rate : NAN},
                   {"bound_share", bound_share(r, decode_rate, bytes)},
                   {"memory_bytes", memory_of(r)},
                   {"weight_bytes", (double)s->weights.bytes},
                   {"repacked_bytes", (double)s->weights.repacked},
                   {"threads", tg_pool_count(s->pool)}};
    tg_json_add_boolean(own, "is_synthetic", tg_gguf_find(s->gguf, "tritgate.synthetic") != NULL);
    tg_json_add_text(own, "kernel", computer_of(s));
    tg_json_add_text(own, "layout", s->layout.format->name);
    tg_json_add_boolean(own, "is_layout_assumed", s->layout.is_assumed);
    tg_json_add_boolean(own, "has_ended", g->has_ended);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        tg_json_add_number(own, numbers[i].name, numbers[i].value);
}

struct tg_json *tg_model_run_json(const struct tg_model_run_report *r)
{
    static const struct tg_generation nothing = {0};
    const struct tg_generation *g = r->error ? &nothing : r->generation;
    const double tokens = (double)g->tokens.count, decoded = decoded_of(g);
    const double generation_s = g->first_token_s + g->decode_s + g->end_s - g->tokenize_s;
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_text(root, "model_path", r->path);
    tg_json_add_number(root, "tokenizer_path", NAN); /* null */
    add_bytes(root, "prompt", r->prompt, strlen(r->prompt));
    add_bytes(root, "generated_text", r->text, r->text_size);
    tg_json_add_number(root, "tokens_generated", tokens);
    tg_json_add_number(root, "warmup_tokens", (double)r->warmup_tokens);
    tg_json_add_text(root, "device", r->device ? r->device : "cpu");
    tg_json_add_number(root, "vocab", r->error ? 0 : (double)r->session->network.vocabulary);
    tg_json_add_text(root, "version", TRITGATE_VERSION);
    struct tg_json *timing = tg_json_object(root, "timing");
    tg_json_add_number(timing, "warmup_ms", whole_ms(r->warmup_s));
    tg_json_add_number(timing, "prefill_ms", whole_ms(g->prefill_s));
    tg_json_add_number(timing, "decode_ms", whole_ms(g->decode_s));
    tg_json_add_number(timing, "generation_ms", whole_ms(generation_s));
    tg_json_add_number(timing, "total_ms",
                       whole_ms(r->error ? 0
                                         : r->session->load_s + r->session->quantise_s +
                                               r->warmup_s + g->tokenize_s + generation_s));
    struct tg_json *performance = tg_json_object(root, "performance");
    tg_json_add_number(performance, "tokens_per_sec", rate_or_0(decoded, g->decode_s));
    tg_json_add_number(performance, "ms_per_token", 1e3 * rate_or_0(g->decode_s, decoded));
    tg_json_add_number(performance, "total_tokens_per_sec",
                       rate_or_0(tokens + (double)g->prompt.count, generation_s));
    tg_json_add_boolean(root, "success", !r->error);
    if (r->error)
        tg_json_add_text(root, "error", r->error);
    else
        tg_json_add_number(root, "error", NAN);
    if (!r->error) add_own(root, r);
    return root;
}

static void print_stage(const char *name, double seconds, double total)
{
    printf("%-18s %9.4f s  %5.1f %%\n", name, seconds, 100 * rate_or_0(seconds, total));
}

/* A number that was not measured is a dash. */
static void print_number(const char *before, int digits, double number, const char *after)
{
    if (isnan(number))
        printf("%s-%s", before, after);
    else
        printf("%s%.*f%s", before, digits, number, after);
}

void tg_model_run_print(const struct tg_model_run_report *r)
{
    const struct tg_session *s = r->session;
    const struct tg_generation *g = r->generation;
    const struct tg_forward_times *t = &g->stages;
    const struct tg_forward_device_times *d = &g->device;
    const double forward = t->prepare + t->products + t->attention + t->head + d->copy_in +
                           d->prompt + d->step + d->copy_out;
    const double total = s->load_s + s->quantise_s + g->first_token_s + g->decode_s + g->end_s;
    const double decode_rate = rate(decoded_of(g), g->decode_s);
    const double bytes = (double)tg_session_token_bytes(
        s, (int64_t)(g->prompt.count + g->tokens.count / 2));
    print_stage("Model Load", s->load_s, total);
    print_stage("Quantization", s->quantise_s, total);
    print_stage("Tokenization", g->tokenize_s, total);
    print_stage("Forward Pass", forward, total);
    if (s->device) {
        print_stage("  copy in", d->copy_in, total);
        print_stage("  prompt", d->prompt, total);
        print_stage("  single tokens", d->step, total);
        print_stage("  copy out", d->copy_out, total);
    } else {
        print_stage("  activations", t->prepare, total);
        print_stage("  products", t->products, total);
        print_stage("  attention", t->attention, total);
        print_stage("  head", t->head, total);
    }
    print_stage("Generation", g->choose_s, total);
    printf("prompt     %zu tokens", g->prompt.count);
    print_number(", ", 1, rate((double)g->prompt.count, g->prefill_s), " tokens/s");
    printf(", first token after %.4f s\n", g->first_token_s);
    printf("generated  %zu tokens", g->tokens.count);
    print_number(", ", 2, decode_rate, " tokens/s");
    print_number(", p50 ", 2, 1e3 * tg_session_token_s(g, 0.5), " ms");
    print_number(", p95 ", 2, 1e3 * tg_session_token_s(g, 0.95), " ms");
    printf("%s", g->has_ended ? ", ended" : "");
    print_number("\nmemory     ", 0, memory_of(r) / 1e6, " MB at most");
    printf("; %.0f MB read for a token", bytes / 1e6);
    if (r->read_rate > 0) {
        print_number(", ", 0, 100 * bound_share(r, decode_rate, bytes), " %");
        printf(" of what %.1f GB/s allow", r->read_rate / 1e9);
    }
    printf("\n%-10s %s, %d thread%s, layout %s%s%s\n", s->device ? "device" : "kernel",
           computer_of(s), tg_pool_count(s->pool), tg_pool_count(s->pool) == 1 ? "" : "s",
           s->layout.format->name, s->layout.is_assumed ? " (assumed)" : "",
           tg_gguf_find(s->gguf, "tritgate.synthetic") ? ", a synthetic model" : "");
}

/* The prompt's tokens, the room that is needed, and what is not counted. */
static int warm_up(const struct options *o, struct tg_session *s, const struct tg_choice *choice,
                   struct tg_model_run_report *r, struct tg_error *err)
{
    struct tg_generation g = {0};
    const double began = tg_now();
    if (o->warmup == 0) return 0;
    const int rc = tg_session_generate(s, o->prompt, o->warmup, choice, true, &g, err);
    r->warmup_s = tg_now() - began;
    r->warmup_tokens = (int64_t)g.tokens.count;
    tg_generation_release(&g);
    return rc;
}

int tg_model_run_text(const struct tg_tokenizer *tokenizer, const struct tg_tokens *prompt,
                      const struct tg_tokens *tokens, char **text, size_t *size, size_t *untold,
                      struct tg_error *err)
{
    const int32_t before = prompt->count > 0 ? prompt->ids[prompt->count - 1] : -1;
    int32_t *told = malloc((tokens->count + 1) * sizeof *told);
    size_t count = 0;
    if (!told) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < tokens->count; i++)
        if (tokens->ids[i] < tg_tokenizer_count(tokenizer)) told[count++] = tokens->ids[i];
    const int rc = tg_tokenizer_decode(tokenizer, before, told, count, false, text, size, err);
    free(told);
    if (rc == 0) *untold = tokens->count - count;
    return rc;
}

static int generate(const struct options *o, struct tg_session *s, struct tg_generation *g,
                    struct tg_model_run_report *r, struct tg_error *err)
{
    const char *deterministic = getenv("BITNET_DETERMINISTIC");
    const bool takes_best = deterministic && strcmp(deterministic, "1") == 0;
    const struct tg_choice choice = {takes_best ? 0 : o->temperature, o->top_k, o->top_p,
                                     strtoull(o->seed, NULL, 10)};
    int64_t held;
    size_t untold;
    if (warm_up(o, s, &choice, r, err) < 0 ||
        tg_session_generate(s, o->prompt, o->tokens, &choice, o->ignores_end, g, err) < 0)
        return tg_fail_in(err, "'%s'", o->file);
    if (tg_model_run_text(s->tokenizer, &g->prompt, &g->tokens, &r->text, &r->text_size, &untold,
                          err) < 0)
        return -1;
    if (untold > 0)
        tg_log(TG_WARN,
               "%zu of %zu tokens have no text: the vocabulary has %" PRId64
               " tokens, the head %" PRId64,
               untold, g->tokens.count, tg_tokenizer_count(s->tokenizer), s->network.vocabulary);
    r->session = s;
    r->generation = g;
    r->read_rate = s->device ? 0 : tg_session_read_rate(s);
    tg_host_process_memory(&held, &r->memory_bytes);
    tg_terminal_write(stdout, o->prompt, strlen(o->prompt));
    tg_terminal_write(stdout, r->text, r->text_size);
    fputs("\n\n", stdout);
    tg_model_run_print(r);
    return 0;
}

static int64_t most_tokens(const struct options *o)
{
    return o->tokens > o->warmup ? o->tokens : o->warmup;
}

/*
 * A `llama` vocabulary may tell a blank by its three bytes, and puts one before each text between
 * specials, of which one may be a byte: seven tokens for two bytes at most. Never more than the
 * model's own, as the session has it.
 */
static int64_t context_of(const struct options *o)
{
    return o->context > 0 ? o->context : 4 * (int64_t)strlen(o->prompt) + most_tokens(o) + 8;
}

/* Whether the prompt and what is to follow fit; nothing is computed of the last token. */
static int check_context(const struct options *o, const struct tg_session *s, struct tg_error *err)
{
    struct tg_tokens prompt = {0};
    const int64_t own = s->network.context;
    if (o->context > own)
        return tg_fail(err, "unusable context '%" PRId64 "': the model has one of %" PRId64,
                       o->context, own);
    int rc = tg_tokenizer_encode(s->tokenizer, o->prompt, strlen(o->prompt), true, &prompt, err);
    const int64_t needed = (int64_t)prompt.count + most_tokens(o) - 1;
    if (rc == 0 && o->context > 0 && needed > o->context)
        rc = tg_fail(
            err, "unusable context '%" PRId64 "': the prompt and %" PRId64 " tokens need %" PRId64,
            o->context, most_tokens(o), needed);
    else if (rc == 0 && needed > own)
        rc = tg_fail(err,
                     "the prompt and %" PRId64 " tokens need a context of %" PRId64
                     ", the model has %" PRId64,
                     most_tokens(o), needed, own);
    tg_tokens_release(&prompt);
    return rc;
}

static int open_session(const struct options *o, struct tg_session *s, struct tg_error *err)
{
    static struct tg_place place;
    struct tg_session_options options = {.path = o->file,
                                         .device = o->device,
                                         .kernel = o->kernel,
                                         .layout = o->layout,
                                         .threads = o->threads,
                                         .context = context_of(o),
                                         .batch = BATCH,
                                         .is_wide = o->is_wide};
    const int processors = tg_place_processors();
    if (o->threads > processors)
        return tg_fail(err, "%d threads need as many processors, a process here has at most %d",
                       o->threads, processors);
    const bool has_place = tg_place_find(NULL, NULL, &tg_place_alone, &place, NULL) == 0;
    if (options.threads == 0) options.threads = has_place ? place.core_count : 1;
    if (has_place && options.threads <= place.core_count) options.cores = place.cores;
    if (options.cores && tg_place_bind(place.cores[0], err) < 0) return -1;
    return tg_session_open(&options, s, err);
}

static int find_seed(struct options *o, struct tg_error *err)
{
    if (!o->seed && tg_command_environment_seed(&o->seed, err) < 0) return -1;
    if (!o->seed) o->seed = "42";
    return 0;
}

int tg_model_run_command(int argc, char **argv)
{
    struct options o = {
        .prompt = "The capital of France is", .tokens = 128, .top_k = 40, .top_p = 0.95};
    struct tg_session s = {0};
    struct tg_generation g = {0};
    struct tg_error err = {""}, unwritten;
    int status = 0;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    struct tg_model_run_report r = {.path = o.file, .prompt = o.prompt, .device = o.device};
    if (o.json && tg_json_can_write(o.json, &err) < 0) {
        tg_log(TG_ERROR, "%s", err.text);
        return TG_STATUS_USAGE;
    }
    if (find_seed(&o, &err) < 0 || open_session(&o, &s, &err) < 0 ||
        check_context(&o, &s, &err) < 0 || generate(&o, &s, &g, &r, &err) < 0)
        status = TG_STATUS_USAGE;
    if (status != 0) r.error = err.text;
    if (o.json) {
        struct tg_json *json = tg_model_run_json(&r);
        if (tg_json_write(json, o.json, &unwritten) < 0) {
            tg_log(TG_ERROR, "%s", unwritten.text);
            if (status == 0) status = TG_STATUS_STOPPED;
        }
        tg_json_free(json);
    }
    if (r.error) tg_log(TG_ERROR, "%s", r.error);
    free(r.text);
    tg_generation_release(&g);
    tg_session_close(&s);
    return status;
}
