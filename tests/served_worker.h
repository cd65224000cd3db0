/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_SERVED_WORKER_H
#define TG_TESTS_SERVED_WORKER_H

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "worker/serve.h"

/* A worker in this process, driven by messages. */

static inline struct tg_worker *start_on(const char *topology, const char *gpus, int index)
{
    const struct tg_identity identity = {"node-a", topology, gpus};
    struct tg_worker *worker = NULL;
    struct tg_error err;
    if (tg_serve_open(3, index, 2, &identity, &worker, &err) < 0) fail_msg("%s", err.text);
    return worker;
}

/* Sends a message and gives the answer, parsed; without one its root is NULL. */
static inline struct tg_json_file ask(struct tg_worker *worker, const char *message)
{
    struct tg_json_file file = {0};
    struct tg_error err;
    char *answer = NULL;
    if (tg_serve_answer(worker, message, &answer, &err) < 0) fail_msg("%s", err.text);
    if (answer && tg_json_parse(answer, &file, &err) < 0) fail_msg("%s", err.text);
    free(answer);
    return file;
}

static inline const char *text_of(const struct tg_json_file *file, const char *key)
{
    return tg_json_text(tg_json_get(file->root, key));
}

static inline void say(struct tg_worker *worker, const char *message)
{
    struct tg_json_file file = ask(worker, message);
    assert_null(file.root);
}

/* With these limits, as members of JSON, instead of the usual ones. */
static inline void open_run_with(struct tg_worker *worker, const char *directory,
                                 const char *limits)
{
    char message[5000];
    snprintf(message, sizeof message,
             "{\"do\":\"open\",\"directory\":\"%s\",\"attempt\":2,"
             "\"matrix\":\"{\\\"matrix\\\": 1}\\n\",\"policy\":\"{\\\"policy\\\": 1}\\n\","
             "\"plan\":\"{\\\"plan\\\": 1}\\n\","
             "\"limits\":{%s}}",
             directory, limits);
    say(worker, message);
}

static inline void open_run(struct tg_worker *worker, const char *directory)
{
    open_run_with(worker, directory,
                  "\"round_s\":0.01,\"sample_s\":1e-5,\"quads_max\":6,"
                  "\"warmup_min_s\":0.001,\"warmup_max_s\":0.01");
}

/* What is said of a round: telegrams, or why it is lost. */
static inline char *ask_round(struct tg_worker *worker, int number, const char *block)
{
    char message[2000], *answer;
    struct tg_error err;
    snprintf(message, sizeof message, "round %d 77 600000 tfc- %s", number, block);
    if (tg_serve_answer(worker, message, &answer, &err) < 0) fail_msg("%s", err.text);
    return answer;
}

#endif
