/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "coordinator/plot.h"
#include "tests/played_farm.h"

/*
 * What the queue costs, and how long workers wait, in farms of up to 10,000 workers and 1,000,000
 * blocks that are played with plain data: `scale_queue [PLOT.svg]` prints two tables, and draws
 * them.
 */

enum { SIZES = 4, CREWS = 6, COORDINATORS = 2 };

static const size_t sizes[SIZES][2] = {{10, 1000}, {100, 10000}, {1000, 100000}, {10000, 1000000}};
static const size_t crews[CREWS] = {64, 128, 512, 1000, 4000, 10000};
static const double answers_s[COORDINATORS] = {50e-6, 200e-6};

static struct tg_plot_point costs[SIZES], waits[COORDINATORS][CREWS];

static int play(size_t workers, size_t blocks, double answer_s, struct farm_seen *seen)
{
    const struct farm_asked asked = {workers, blocks, 5, 1, answer_s, 0.008, 7};
    if (farm_play(&asked, seen)) return 0;
    fputs("out of memory\n", stderr);
    return -1;
}

static int print_costs(void)
{
    struct farm_seen seen;
    puts("workers    blocks     rounds  begin s  all s  us a round  us a block    MB");
    for (int i = 0; i < SIZES; i++) {
        if (play(sizes[i][0], sizes[i][1], answers_s[0], &seen) < 0) return -1;
        double blocks = (double)sizes[i][1], round_us = 1e6 * seen.cpu_s / (double)seen.rounds;
        printf("%7zu  %8zu  %9zu  %7.3f  %5.1f  %10.2f  %10.1f  %4.0f\n", sizes[i][0], sizes[i][1],
               seen.rounds, seen.begin_s, seen.cpu_s, round_us,
               1e6 * (seen.begin_s + seen.cpu_s) / blocks, seen.bytes / 1e6);
        costs[i] = (struct tg_plot_point){log10(blocks), round_us, NAN, NAN};
        fflush(stdout);
    }
    return 0;
}

static int print_waits(void)
{
    struct farm_seen seen;
    puts("\nworkers  of their time inside rounds, where an answer takes");
    printf("%7s", "");
    for (int k = 0; k < COORDINATORS; k++) printf("  %5.0f us", 1e6 * answers_s[k]);
    for (int i = 0; i < CREWS; i++) {
        printf("\n%7zu", crews[i]);
        for (int k = 0; k < COORDINATORS; k++) {
            if (play(crews[i], 40 * crews[i], answers_s[k], &seen) < 0) return -1;
            printf("  %6.1f %%", 100 * seen.busy);
            waits[k][i] = (struct tg_plot_point){log10((double)crews[i]), 100 * seen.busy, NAN,
                                                 NAN};
        }
        fflush(stdout);
    }
    putchar('\n');
    return 0;
}

static int draw(const char *path)
{
    const struct tg_plot_series cost[] = {{"", TG_PLOT_LINE, 0, costs, SIZES},
                                          {"", TG_PLOT_POINTS, 0, costs, SIZES}};
    const struct tg_plot_series wait[] = {{"50 us an answer", TG_PLOT_LINE, 0, waits[0], CREWS},
                                          {"200 us an answer", TG_PLOT_LINE, 1, waits[1], CREWS}};
    const struct tg_plot_mark demanded = {95, "95 %"};
    const struct tg_plot_panel panels[] = {
        {.title = "what the queue costs",
         .x_title = "blocks, as a power of ten; a hundredth as many workers",
         .y_title = "us a round",
         .series = cost,
         .series_count = 2},
        {.title = "time of workers inside rounds of 1 s",
         .x_title = "workers, as a power of ten",
         .y_title = "%",
         .series = wait,
         .series_count = COORDINATORS,
         .lines = &demanded,
         .line_count = 1}};
    const struct tg_plot plot = {"one coordinator", panels, 2};
    FILE *out = fopen(path, "w");
    if (!out) {
        perror(path);
        return -1;
    }
    tg_plot_write(&plot, out);
    return fclose(out);
}

int main(int argc, char **argv)
{
    if (print_costs() < 0 || print_waits() < 0) return 1;
    return argc > 1 && draw(argv[1]) < 0 ? 1 : 0;
}
