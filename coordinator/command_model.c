/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "coordinator/command.h"
#include "coordinator/model_show.h"

/* Whole models, as files. */

struct options {
    const char *verb, *name;
    bool json, tensors;
};

enum { TENSORS = 256 };

static const struct argp_option option_list[] = {
    {"json", 'j', NULL, 0, "show: as JSON, with all tensors", 0},
    {"tensors", TENSORS, NULL, 0, "show: all tensors", 0},
    {0}};

static void check(struct argp_state *state, const struct options *o)
{
    if (!o->verb) argp_failure(state, TG_STATUS_USAGE, 0, "show is expected");
    if (strcmp(o->verb, "show") != 0)
        argp_failure(state, TG_STATUS_USAGE, 0, "no such verb '%s': show", o->verb);
    if (!o->name) argp_failure(state, TG_STATUS_USAGE, 0, "%s needs a file", o->verb);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'j': o->json = true; return 0;
    case TENSORS: o->tensors = true; return 0;
    case ARGP_KEY_ARG:
        if (!o->verb)
            o->verb = arg;
        else
            tg_command_take(state, "file", &o->name, arg);
        return 0;
    case ARGP_KEY_END: check(state, o); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_list,
    parse,
    "show FILE",
    "Whole models. show prints what a GGUF file holds, and whether and how it would be run "
    "(docs/MODELS.md).\v"
    "Exit status: 0, or 3 for a file that cannot be read.",
    NULL,
    NULL,
    NULL};

static int show(const struct options *o, struct tg_error *err)
{
    struct tg_json_file object;
    if (tg_model_show_read(o->name, &object, err) < 0) return TG_STATUS_USAGE;
    if (o->json) {
        char *text = tg_json_print(object.root, true);
        puts(text);
        free(text);
    } else {
        tg_model_show_print(object.root, o->tensors);
    }
    tg_json_release(&object);
    return 0;
}

int tg_command_model(int argc, char **argv)
{
    struct options options = {0};
    struct tg_error err = {""};
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    const int status = show(&options, &err);
    if (status != 0) tg_log(TG_ERROR, "%s", err.text);
    return status;
}
