/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "coordinator/report.h"
#include "coordinator/route.h"
#include "coordinator/terminal.h"

/*
 * The tables on a terminal: what failed or is open first, then the rest, under a line for each rule
 * that says what it demands. Medians of both sides are in the other reports. Tests that are skipped
 * by one rule and for one reason share a line; the other reports have each.
 *
 * Where the stream is a terminal, columns that go beyond its width are put on a second line for
 * each test, the last one is broken at blanks, and answers have colours.
 */

enum { COLUMNS = 4 };

struct line {
    char cells[COLUMNS][TG_REPORT_TEXT_SIZE];
};

/* "slower, minor; 107 us (15.3 GB/s)", or the reason. */
static void fill_last(const struct tg_rule *rule, const struct tg_verdict *v, char *out,
                      size_t size)
{
    char absolute[160], needed[160];
    bool plain = v->answer == TG_PASS && !*v->reason;
    tg_report_absolute(rule, v, absolute, sizeof absolute);
    char *versus = strstr(absolute, " vs ");
    if (versus) *versus = 0;
    if (plain)
        snprintf(out, size, "%s", absolute);
    else if (v->answer == TG_FAIL && *absolute && v->rounds && isfinite(v->also))
        snprintf(out, size, "%s: %s; %s", v->word, v->reason, absolute);
    else if (v->answer == TG_FAIL && *absolute && v->rounds)
        snprintf(out, size, "%s; %s", v->word, absolute);
    else if (v->answer == TG_FAIL && !*v->reason)
        snprintf(out, size, "%s", v->word);
    else if (v->answer == TG_INCONCLUSIVE && *tg_report_needed(v, needed, sizeof needed))
        snprintf(out, size, "%s; %s", v->reason, needed);
    else
        snprintf(out, size, "%s", v->reason);
}

/* Whether tests of one part are skipped alike. */
static bool is_alike(const struct tg_plan *plan, const struct tg_decision *d, size_t a, size_t b)
{
    const struct tg_test *x = &plan->spec.tests[a], *y = &plan->spec.tests[b];
    return d->verdicts[a].answer == TG_SKIP && d->verdicts[b].answer == TG_SKIP &&
           x->rule == y->rule && x->hardware == y->hardware &&
           strcmp(d->verdicts[a].reason, d->verdicts[b].reason) == 0 &&
           tg_report_part(plan, d, a) == tg_report_part(plan, d, b);
}

/* Whether a test has no line, for an earlier one is alike; how many later ones are. */
static bool is_told(const struct tg_plan *plan, const struct tg_decision *d, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (is_alike(plan, d, k, i)) return true;
    return false;
}

static size_t count_alike(const struct tg_plan *plan, const struct tg_decision *d, size_t i)
{
    size_t count = 0;
    for (size_t k = i + 1; k < d->verdict_count; k++) count += is_alike(plan, d, i, k);
    return count;
}

static void fill(const struct tg_plan *plan, const struct tg_decision *d, size_t i,
                 struct line *line)
{
    const struct tg_verdict *v = &d->verdicts[i];
    const struct tg_rule *rule = &plan->policy.rules[plan->spec.tests[i].rule];
    char result[128];
    tg_report_result(plan, i, v, result, sizeof result);
    bool is_shadow = strncmp(result, "shadow: ", 8) == 0; /* as the heading says */
    snprintf(line->cells[0], sizeof line->cells[0], "  %s", result + (is_shadow ? 8 : 0));
    tg_report_brief(plan, i, line->cells[1], sizeof line->cells[1]);
    size_t used = strlen(line->cells[1]), more = count_alike(plan, d, i);
    if (more) snprintf(line->cells[1] + used, sizeof line->cells[1] - used, ", and %zu more", more);
    tg_report_measured(rule, v, line->cells[2], sizeof line->cells[2]);
    fill_last(rule, v, line->cells[3], sizeof line->cells[3]);
}

static struct tg_terminal_table lay_out(FILE *out, const struct tg_plan *plan,
                                        const struct tg_decision *d)
{
    struct tg_terminal_table table = {.columns = COLUMNS, .first = 2, .least = 30};
    struct line line;
    for (size_t i = 0; i < d->verdict_count; i++) {
        if (is_told(plan, d, i)) continue;
        fill(plan, d, i, &line);
        for (int c = 0; c < COLUMNS; c++) {
            size_t letters = tg_terminal_letters(line.cells[c]);
            if (letters > table.widths[c]) table.widths[c] = letters;
        }
    }
    table.indent = table.widths[0] + 2;
    tg_terminal_fit(out, &table);
    return table;
}

static enum tg_terminal_color color_of(enum tg_report_part part)
{
    if (part == TG_REPORT_FAILED) return TG_RED;
    if (part == TG_REPORT_OPEN || part == TG_REPORT_ATTENTION) return TG_YELLOW;
    return part == TG_REPORT_PASSED ? TG_GREEN : TG_PLAIN;
}

static void print_line(FILE *out, const char *text, size_t width)
{
    tg_terminal_wrap(out, text, 0, 2, width);
    fputc('\n', out);
}

/*
 * The tests of one part that one rule made, under their heading, if that does not stand there
 * already: `last` is the heading printed last.
 */
static void print_rule(FILE *out, const struct tg_plan *plan, const struct tg_decision *d,
                       enum tg_report_part part, size_t rule, const struct tg_terminal_table *table,
                       char last[TG_REPORT_TEXT_SIZE])
{
    static const char shadow[] = " (a shadow: it shows the noise and is not counted)";
    char heading[TG_REPORT_TEXT_SIZE], whole[sizeof heading + sizeof shadow];
    const bool is_shadow = part == TG_REPORT_SHADOWS;
    const char *texts[COLUMNS];
    struct line line;
    for (size_t i = 0; i < d->verdict_count; i++) {
        if (plan->spec.tests[i].rule != rule || tg_report_part(plan, d, i) != part ||
            is_told(plan, d, i))
            continue;
        tg_report_heading(plan, i, heading, sizeof heading);
        if (strcmp(heading, last) != 0) {
            snprintf(whole, sizeof whole, "%s%s", heading, is_shadow ? shadow : "");
            print_line(out, whole, table->terminal);
        }
        memcpy(last, heading, sizeof heading);
        fill(plan, d, i, &line);
        for (int c = 0; c < COLUMNS; c++) texts[c] = line.cells[c];
        tg_terminal_row(out, table, texts, color_of(part));
    }
}

void tg_report_terminal(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    const struct tg_terminal_table table = lay_out(out, plan, d);
    static const enum tg_terminal_color colors[] = {TG_GREEN, TG_RED, TG_YELLOW, TG_PLAIN};
    char summary[TG_REPORT_TEXT_SIZE], answer[32];

    for (size_t n = 0; n < d->note_count; n++) print_line(out, d->notes[n], table.terminal);
    if (*tg_report_model(plan)) fprintf(out, "model %s\n", tg_report_model(plan));
    fputc('\n', out);
    for (int part = TG_REPORT_FAILED; part < TG_REPORT_PARTS; part++) {
        char last[TG_REPORT_TEXT_SIZE] = "";
        for (size_t rule = 0; rule < plan->policy.rule_count; rule++)
            print_rule(out, plan, d, (enum tg_report_part)part, rule, &table, last);
    }
    for (size_t i = 0; i < d->family_count; i++) {
        if (i == 0) fputc('\n', out);
        print_line(out, tg_report_family(&d->families[i], summary, sizeof summary), table.terminal);
    }
    snprintf(answer, sizeof answer, "%s", tg_gate_word(d->answer));
    for (char *p = answer; *p; p++) *p = (char)toupper((unsigned char)*p);
    fprintf(out, "\n%s%s%s  ", tg_terminal_color(out, colors[d->answer]), answer,
            tg_terminal_color(out, TG_PLAIN));
    tg_report_summary(d, summary, sizeof summary);
    tg_terminal_wrap(out, summary, strlen(answer) + 2, strlen(answer) + 2, table.terminal);
    fputc('\n', out);
    print_line(out, tg_report_alarms(plan), table.terminal);
    const struct tg_flow_route *route = tg_route_choose(plan, d);
    tg_report_flow_text(out, plan, d, "evidence");
    if (route) fprintf(out, "%s (%s)\n", route->to, route->condition);
}
