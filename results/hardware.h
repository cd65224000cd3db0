/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_HARDWARE_H
#define TG_RESULTS_HARDWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/record.h"

/*
 * What a machine is, as far as its times depend on it: the fields of hardware.def. Machines whose
 * fields are all equal are of one class; what was measured on different classes is never compared.
 *
 * A worker reads its machine once, when it is opened (worker/host.h), and says class and fields;
 * both stand in plan.json, the class in every row.
 */

struct tg_hardware {
#define FIELD(name, KIND, fallback, unit, meaning) TG_MEMBER_##KIND(name)
#include "results/hardware.def"
#undef FIELD
};

extern const struct tg_record_type tg_hardware_type;

#define TG_HARDWARE_TEXT_SIZE 2048 /* enough for every field at its longest */

/*
 * Writes the name of the machine's class: the first 16 digits of the SHA-256 of the record's text,
 * or "unknown" if no field is known.
 */
int tg_hardware_class(const struct tg_hardware *hardware, char out[TG_TEXT_SIZE],
                      struct tg_error *err);

/*
 * Names the fields in which two machines differ, with both values, as "microcode 0x2b000461 here,
 * 0x2b000590 there"; after three, how many more. Nothing where there is no difference. At most
 * size - 1 bytes. Returns out.
 */
char *tg_hardware_difference(const struct tg_hardware *here, const struct tg_hardware *there,
                             char *out, size_t size);

/*
 * Whether a machine, as its text, matches "field=pattern field=pattern" (shell patterns). A text
 * that is of no machine matches nothing.
 */
bool tg_hardware_matches(const char *machine, const char *where);

#endif
