/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_PART_FILE_H
#define TG_WORKER_MODEL_PART_FILE_H

#include <stdbool.h>

#include "base/error.h"

/*
 * A file while it is made: it is PATH.part until it is whole, then PATH.
 *
 *   open -> write to the descriptor ... -> end
 *
 * The name is always the same, so that whoever is killed leaves one such file and no more, which
 * the next to make PATH begins anew. It is locked: of two at once one waits for the other. What is
 * there and may be somebody else's, as a link in a folder of all, is not written to.
 */

struct tg_part_file {
    int descriptor;  /* to write to */
    char path[4096]; /* PATH.part */
};

/* Empty; fails where it cannot be made. Waits while another process makes the same file. */
int tg_part_file_open(const char *path, struct tg_part_file *part, struct tg_error *err);

/*
 * Closes it, and gives it its name, readable for all, if it is whole; else, and after a failure,
 * it is removed.
 */
int tg_part_file_end(struct tg_part_file *part, bool is_whole, struct tg_error *err);

#endif
