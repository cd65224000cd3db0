/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_OWN_POLICY_H
#define TG_TESTS_OWN_POLICY_H

#include <stdio.h>

#include "coordinator/vocabulary.h"
#include "matrix/policy.h"

/* Reads a policy of the project by its name, with the program's own words. */
static inline void own_policy(const char *name, struct tg_policy *policy)
{
    char path[4096];
    const struct tg_survey *none = NULL;
    struct tg_words words;
    struct tg_json_file file;
    struct tg_error err;
    snprintf(path, sizeof path, TG_TEST_DATA "/../../matrix/policy/%s.json", name);
    if (tg_vocabulary_gather(&none, 1, &words, &err) < 0 || tg_json_read(path, &file, &err) < 0 ||
        tg_policy_parse(&file, &words, policy, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    tg_json_release(&file);
    tg_vocabulary_release(&words);
}

#endif
