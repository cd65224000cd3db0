/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "coordinator/command.h"

static const struct tg_command commands[] = {
    {"run", "measure a matrix and decide", tg_command_run},
    {"launch", "run over ranks, and go on when one is lost", tg_command_launch},
    {"gate", "decide again from a stored run", tg_command_gate},
    {"report", "print one report of a stored run", tg_command_report},
    {"merge", "join the shards of a run", tg_command_merge},
    {"import", "make a run of measurements that were made elsewhere", tg_command_import},
    {"history", "keep decided runs, and name what all of them show", tg_command_history},
    {"cell", "make one measurement by hand", tg_command_cell},
    {"calibrate", "say how well the gate keeps its promises", tg_command_calibrate},
    {"check", "compare kernels with their exact reference", tg_command_check},
    {"matrix", "list what a matrix asks, and who could run it", tg_command_matrix},
    {"baseline", "keep what runs measured, to compare with", tg_command_baseline},
    {"model", "show, make and run whole models", tg_command_model},
    {"doctor", "say what on this node disturbs timing, and what to do", tg_command_doctor},
    {"list", "print a table: kernels, metrics, facts, ...", tg_command_list},
};

static void print_help(FILE *out)
{
    fputs("tritgate " TRITGATE_VERSION ": did a change make a ternary language model engine\n"
          "slower or wrong?\n\n"
          "  tritgate launch -n 3 -- run matrix/smoke.json --base libtritgate-kernels.so\n\n"
          "measures the kernels built with this program against an older build, that file,\n"
          "on whatever this machine has, and exits with the decision. Without --base it\n"
          "compares kernels with each other and with their limits. Without launch one\n"
          "process does it all.\n\n"
          "Commands (each has its own --help):\n",
          out);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(out, "  %-9s  %s\n", commands[i].name, commands[i].meaning);
    fputs("\nExit status: 0 pass, 1 fail, 2 inconclusive, 3 wrong usage or input, nothing was\n"
          "measured, 4 could not go on, what was measured by then, if anything, is kept.\n",
          out);
}

int main(int argc, char **argv)
{
    argp_err_exit_status = TG_STATUS_USAGE;
    /* Who starts this may ignore it, and pass that on: then no child's end could be told. */
    signal(SIGCHLD, SIG_DFL);
    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(argc > 1 ? stdout : stderr);
        return argc > 1 ? EXIT_SUCCESS : TG_STATUS_USAGE;
    }
    if (strcmp(name, "--version") == 0) {
        puts("tritgate " TRITGATE_VERSION);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char title[64];
        if (strcmp(commands[i].name, name) != 0) continue;
        snprintf(title, sizeof title, "tritgate %s", name);
        argv[1] = title;
        int status = commands[i].run(argc - 1, argv + 1);
        if (fflush(stdout) != 0 || ferror(stdout)) {
            tg_log(TG_ERROR, "cannot write to standard output");
            return TG_STATUS_STOPPED;
        }
        return status;
    }
    tg_log(TG_ERROR, "no such command '%s'; see tritgate --help", name);
    return TG_STATUS_USAGE;
}
