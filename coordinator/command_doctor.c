/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "coordinator/command.h"
#include "coordinator/terminal.h"
#include "worker/doctor.h"
#include "worker/host.h"
#include "worker/seat.h"

struct options {
    const char *root, *gpus;
    bool json;
};

enum { ROOT = 256, GPUS };

static const struct argp_option option_list[] = {
    {"json", 'j', NULL, 0, "as JSON", 0},
    {"root", ROOT, "DIR", OPTION_HIDDEN, "recorded files of /proc and /sys", 0},
    {"gpus", GPUS, "FILE", OPTION_HIDDEN, "recorded GPUs", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'j': o->json = true; return 0;
    case ROOT: o->root = arg; return 0;
    case GPUS: o->gpus = arg; return 0;
    case ARGP_KEY_ARG:
        argp_failure(state, TG_STATUS_USAGE, 0, "nothing is expected, '%s' is too much", arg);
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_list,
    parse,
    NULL,
    "Says what on this node disturbs timing, and what to do about it, a line each. It changes "
    "nothing and needs no rights; what cannot be read is unknown.\v"
    "Exit status: 0 nothing was found, 1 something was.",
    NULL,
    NULL,
    NULL};

static void print_text(const struct tg_ailment *ailments)
{
    for (size_t i = 0; i < tg_doctor_count(); i++) {
        const struct tg_ailment *a = &ailments[i];
        char text[1024];
        bool is_found = a->state == TG_AILMENT_FOUND;
        snprintf(text, sizeof text, "%s%s%s%s%s", a->seen, is_found ? ": " : "",
                 is_found ? a->what : "", is_found ? "; " : "", is_found ? a->advice : "");
        int at = printf("%-7s  %-15s  ", tg_doctor_word(a->state), a->name);
        tg_terminal_wrap(stdout, text, (size_t)at, (size_t)at, tg_terminal_width(stdout));
        putchar('\n');
    }
}

static void print_json(const struct tg_ailment *ailments)
{
    char host[TG_TEXT_SIZE];
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_host_name(host);
    tg_json_add_number(root, "tritgate_doctor", 1);
    tg_json_add_text(root, "host", host);
    struct tg_json *list = tg_json_array(root, "ailments");
    for (size_t i = 0; i < tg_doctor_count(); i++) {
        struct tg_json *item = tg_json_object(list, NULL);
        tg_json_add_text(item, "name", ailments[i].name);
        tg_json_add_text(item, "state", tg_doctor_word(ailments[i].state));
        tg_json_add_text(item, "seen", ailments[i].seen);
        tg_json_add_text(item, "what", ailments[i].what);
        tg_json_add_text(item, "advice", ailments[i].advice);
    }
    char *text = tg_json_print(root, true);
    puts(text);
    free(text);
    tg_json_free(root);
}

int tg_command_doctor(int argc, char **argv)
{
    struct options options = {.root = ""};
    struct tg_error err;
    static struct tg_gpu_list gpus;
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    struct tg_ailment *ailments = calloc(tg_doctor_count(), sizeof *ailments);
    /* A recorded machine has the GPUs that are recorded with it. */
    const struct tg_node node = {*options.root ? options.root : NULL, options.gpus};
    if (!ailments || tg_seat_gpus(&node, &gpus, &err) < 0) {
        tg_log(TG_ERROR, "%s", ailments ? err.text : "out of memory");
        free(ailments);
        return TG_STATUS_USAGE;
    }
    tg_doctor_look(options.root, &gpus, ailments);
    int status = 0;
    for (size_t i = 0; i < tg_doctor_count(); i++)
        if (ailments[i].state == TG_AILMENT_FOUND) status = 1;
    if (options.json)
        print_json(ailments);
    else
        print_text(ailments);
    free(ailments);
    return status;
}
