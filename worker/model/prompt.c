/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/prompt.h"

#include <inttypes.h>
#include <string.h>

#include "kernels/fill.h"

enum { CONTROL_TOKENS = 256, SEED = 20240227 };

const char tg_prompt_passage[] =
    "A weight that is minus one, zero or one needs no multiplication. What is left of a product is "
    "an addition, a subtraction, or nothing at all, and what limits the machine is how fast it can "
    "read the weights from memory. So the question is not how many operations there are, but how "
    "many bytes must be moved for each token, and how many of them arrive in a second.";

void tg_prompt_draw(int64_t vocabulary, int64_t count, int32_t *tokens)
{
    const int64_t most = vocabulary > 2 * CONTROL_TOKENS ? vocabulary - CONTROL_TOKENS : vocabulary;
    uint64_t state = SEED;
    for (int64_t i = 0; i < count; i++)
        tokens[i] = (int32_t)(tg_fill_next(&state) % (uint64_t)most);
}

int tg_prompt_find(const struct tg_tokenizer *tokenizer, int64_t count, size_t *size,
                   struct tg_error *err)
{
    struct tg_tokens tokens = {0};
    int rc = -1;
    for (size_t bytes = 1; bytes <= strlen(tg_prompt_passage); bytes++) {
        tokens.count = 0;
        if (tg_tokenizer_encode(tokenizer, tg_prompt_passage, bytes, true, &tokens, err) < 0) break;
        if ((int64_t)tokens.count != count) continue;
        *size = bytes;
        rc = 0;
        break;
    }
    tg_tokens_release(&tokens);
    if (rc < 0) tg_fail(err, "no beginning of the prompt has %" PRId64 " tokens", count);
    return rc;
}
