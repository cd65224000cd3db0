/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix/words.h"

#include <stdio.h>
#include <string.h>

bool tg_words_cover(const struct tg_words *words, const char *axis)
{
    for (size_t i = 0; i < words->count; i++)
        if (strcmp(words->words[i].axis, axis) == 0) return true;
    return false;
}

const struct tg_word *tg_words_find(const struct tg_words *words, const char *axis,
                                    const char *name)
{
    for (size_t i = 0; i < words->count; i++)
        if (strcmp(words->words[i].axis, axis) == 0 && strcmp(words->words[i].name, name) == 0)
            return &words->words[i];
    return NULL;
}

bool tg_words_trait(const struct tg_word *word, const char *trait, char *value, size_t size)
{
    size_t length = strlen(trait);
    for (const char *p = word->traits; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
        if (strncmp(p, trait, length) != 0 || p[length] != '=') continue;
        p += length + 1;
        snprintf(value, size, "%.*s", (int)strcspn(p, " "), p);
        return true;
    }
    return false;
}

bool tg_words_have_trait(const struct tg_words *words, const char *axis, const char *trait,
                         const char *value)
{
    char found[128];
    for (size_t i = 0; i < words->count; i++)
        if (strcmp(words->words[i].axis, axis) == 0 &&
            tg_words_trait(&words->words[i], trait, found, sizeof found) &&
            (!value || strcmp(found, value) == 0))
            return true;
    return false;
}

bool tg_words_is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}
