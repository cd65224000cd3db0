/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_HOST_H
#define TG_WORKER_HOST_H

#include <stdint.h>

#include "results/hardware.h"
#include "results/measurement.h"

/* Facts of the node: what a reader must know to trust a time. What cannot be read stays unknown. */

/* This node's name; `name` has TG_TEXT_SIZE bytes. */
void tg_host_name(char *name);

/* A text as a name of at most as many: without blanks. */
void tg_host_to_name(char *name, const char *text);

/* The first line of a file below `root` ("" but in tests) without its end, or NULL. */
char *tg_host_line(const char *root, const char *path, char *line, int size);

/* What follows a word that a line of a file begins with, without the line's end, or NULL. */
char *tg_host_line_of(const char *root, const char *path, const char *word, char *line, int size);

/* The number that a file begins with, NAN without it. */
double tg_host_number(const char *root, const char *path);

/*
 * The least that the cgroups say which this process is in: asks for its path, as "/a/b", in version
 * 2 and in version 1's hierarchy of a controller, and for those around it, down to "". NAN says
 * nothing.
 */
double tg_host_cgroup_least(const char *root, const char *controller,
                            double (*ask)(const char *root, const char *path, bool is_unified));

/* Fills cpu, virtualised, the governor and clock of a core, turbo, load and date. */
void tg_host_read(int core, struct tg_facts *facts);

/*
 * Bytes of memory that new processes may take: what the kernel calls available, or the least that
 * is left in this process's memory cgroup and those around it. What the kernel keeps of files is
 * not taken. -1 if unknown.
 */
int64_t tg_host_memory(const char *root);

/*
 * Bytes of memory that this process has for itself, without pages of files, and the most that it
 * had, with them. What is unknown is -1. (What getrusage tells of a process begins with the most
 * that the one had that started it.)
 */
void tg_host_process_memory(int64_t *held, int64_t *peak);

/*
 * What this machine is, from the files of /proc and /sys below `root`: "" but in tests. The
 * governor is that of the first core: the class of a machine is of all its cores, not of the one
 * timed.
 */
void tg_host_hardware(const char *root, struct tg_hardware *hardware);

#endif
