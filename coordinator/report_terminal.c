/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "coordinator/report.h"

/* The table on a terminal: what failed or is open first, then the rest. */

enum { COLUMNS = 5 };

struct line {
    char cells[COLUMNS][TG_REPORT_TEXT_SIZE];
};

static void fill(const struct tg_plan *plan, const struct tg_decision *d, size_t i,
                 struct line *line)
{
    const struct tg_verdict *v = &d->verdicts[i];
    const struct tg_rule *rule = &plan->policy.rules[plan->spec.tests[i].rule];
    char absolute[160];
    tg_report_result(plan, i, v, line->cells[0], sizeof line->cells[0]);
    tg_report_subject(plan, i, line->cells[1], sizeof line->cells[1]);
    tg_report_demand(rule, line->cells[2], sizeof line->cells[2]);
    tg_report_measured(rule, v, line->cells[3], sizeof line->cells[3]);
    tg_report_absolute(rule, v, absolute, sizeof absolute);
    if (v->answer == TG_PASS && strcmp(v->word, "attention") != 0)
        snprintf(line->cells[4], sizeof line->cells[4], "%s", absolute);
    else if (v->answer == TG_FAIL && *absolute && v->rounds)
        snprintf(line->cells[4], sizeof line->cells[4], "%s: %.500s", v->word, absolute);
    else
        snprintf(line->cells[4], sizeof line->cells[4], "%.600s", v->reason);
}

static void print_line(FILE *out, const struct line *line, const size_t widths[COLUMNS])
{
    size_t owed = 0; /* blanks, once something follows them */
    for (int c = 0; c < COLUMNS; c++) {
        if (*line->cells[c]) {
            fprintf(out, "%*s%s", (int)owed, "", line->cells[c]);
            owed = 0;
        }
        owed += widths[c] - strlen(line->cells[c]) + 2;
    }
    fputc('\n', out);
}

/* 0: failed, 1: inconclusive, 2: attention, 3: passed, 4: skipped, 5: shadow. */
static int rank_of(const struct tg_plan *plan, const struct tg_decision *d, size_t i)
{
    const struct tg_verdict *v = &d->verdicts[i];
    if (plan->spec.tests[i].is_shadow) return 5;
    if (v->answer == TG_FAIL) return 0;
    if (v->answer == TG_INCONCLUSIVE) return 1;
    if (v->answer == TG_SKIP) return 4;
    return strcmp(v->word, "attention") == 0 ? 2 : 3;
}

void tg_report_terminal(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    static const struct line head = {{"result", "test", "demanded", "measured", ""}};
    size_t widths[COLUMNS];
    struct line line;
    char summary[TG_REPORT_TEXT_SIZE], answer[32];

    for (int c = 0; c < COLUMNS; c++) widths[c] = strlen(head.cells[c]);
    for (size_t i = 0; i < d->verdict_count; i++) {
        fill(plan, d, i, &line);
        for (int c = 0; c < COLUMNS; c++)
            if (strlen(line.cells[c]) > widths[c]) widths[c] = strlen(line.cells[c]);
    }
    for (size_t n = 0; n < d->note_count; n++) fprintf(out, "%s\n", d->notes[n]);
    fputc('\n', out);
    print_line(out, &head, widths);
    for (int rank = 0; rank <= 5; rank++)
        for (size_t i = 0; i < d->verdict_count; i++) {
            if (rank_of(plan, d, i) != rank) continue;
            fill(plan, d, i, &line);
            print_line(out, &line, widths);
        }
    snprintf(answer, sizeof answer, "%s", tg_gate_word(d->answer));
    for (char *p = answer; *p; p++) *p = (char)toupper((unsigned char)*p);
    fprintf(out, "\n%s  %s\n", answer, tg_report_summary(d, summary, sizeof summary));
}
