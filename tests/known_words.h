/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_KNOWN_WORDS_H
#define TG_TESTS_KNOWN_WORDS_H

#include "matrix/words.h"

/* A few names, as the program would pass them in, for the tests of the room of the matrix. */

static const struct tg_word known_list[] = {
    {"probe", "kernel", ""},
    {"kernel", "i2s_scalar", "device=cpu op=product format=i2s isa=scalar"},
    {"kernel", "i2s_avx2", "device=cpu op=product format=i2s isa=avx2"},
    {"kernel", "i2s_scalar_unpack", "device=cpu op=unpack format=i2s isa=scalar"},
    {"build", "head", ""},
    {"build", "base", ""},
    {"build", "copy", ""},
    {"model", "small", ""},
    {"model", "large", ""},
    {"layer", "attn_q", ""},
    {"layer", "ffn_up", ""},
    {"cache", "hot", ""},
    {"hardware", "cpu", ""},
    {"rule", "noninferior", "cells=pair reading=slowdown"},
    {"rule", "ratio", "cells=pair reading=factor"},
    {"rule", "floor", "cells=one reading=least"},
    {"rule", "ceiling", "cells=one reading=most"},
    {"rule", "parity", "cells=pair reading=distance"},
    {"rule", "slope", "cells=one reading=rate"},
    {"rule", "scaling", "cells=pair reading=growth"},
    {"rule", "determinism", "cells=one reading=same"},
    {"metric", "call_time", "nature=sampled sign=positive unit=s"},
    {"metric", "kernel_accuracy", "nature=fixed sign=share unit=1"},
    {"metric", "held_memory", "nature=sampled sign=positive unit=B"},
    {"metric", "layer_memory", "nature=fixed sign=positive unit=B"},
};

static const struct tg_words known = {known_list, sizeof known_list / sizeof *known_list};

#endif
