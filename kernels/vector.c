/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vector.h"

#include <assert.h>
#include <string.h>

#define PASTE_TOKENS(a, b) a##b
#define PASTE(a, b)        PASTE_TOKENS(a, b)

/* The build says of each instruction set, as TG_ISA_<NAME>, whether it is BUILT (see isa.c). */
#define ROW_BUILT(ISA, name, how) &tg_vector_##name,
#define ROW_UNBUILT(ISA, name, how)
#define ROW_ABSENT(ISA, name, how)

static const struct tg_vector *const vectors[] = {
#define VECTOR(ISA, name, how) PASTE(ROW_, TG_ISA_##ISA)(ISA, name, how)
#include "kernels/vectors.def"
#undef VECTOR
};

size_t tg_vector_count(void)
{
    return sizeof vectors / sizeof vectors[0];
}

const struct tg_vector *tg_vector_at(size_t i)
{
    assert(i < tg_vector_count());
    return vectors[i];
}

const struct tg_vector *tg_vector_find(const char *isa)
{
    for (size_t i = 0; i < tg_vector_count(); i++) {
        if (strcmp(vectors[i]->isa, isa) == 0) return vectors[i];
    }
    return NULL;
}

const struct tg_vector *tg_vector_widest(void)
{
    const struct tg_vector *widest = vectors[0];

    for (size_t i = 0; i < tg_vector_count(); i++) {
        if (vectors[i]->here()) widest = vectors[i];
    }
    return widest;
}
