/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/walk.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define LAG_ROUNDS   16  /* fewer say nothing of autocorrelation */
#define LAG_LINE     2.6 /* standard errors of a lag-1 correlation: about 0.5 % by chance */
#define SPREAD_RATIO 3   /* of two nodes: more is not one law any more */
#define SPREAD_UNITS 4   /* fewer say nothing of a node's spread */

/* What is known of one node. */
struct node {
    struct tg_symmetry symmetry;
    struct tg_student student;
    double log_fail;
    double pending; /* the first round of a super-round */
    bool has_pending;
    double before; /* its last round, while rounds are compared with those before them */
    bool has_before;
    size_t rounds; /* in the whole path */
};

struct tg_walk {
    struct tg_walk_path path;
    struct tg_symmetry symmetry; /* of all nodes */
    struct tg_student student;
    double log_fail;
    struct node *nodes;
    size_t node_count;
    double *distances; /* for the symmetries: of all, then of each node */
    size_t taken;      /* rounds */
    bool is_paired;
};

static size_t node_of(const struct tg_walk *w, size_t round)
{
    return w->path.nodes ? (size_t)w->path.nodes[round] : 0;
}

static double value_of(const struct tg_walk *w, size_t round)
{
    return w->path.sign * w->path.values[round] + w->path.shift;
}

/* As if no round had been taken. */
static void restart(struct tg_walk *w)
{
    double *distances = w->distances + w->path.count;
    tg_sequential_symmetry_init(&w->symmetry, w->path.floor, w->distances, w->path.count);
    w->student = (struct tg_student){0};
    w->log_fail = 0;
    for (size_t n = 0; n < w->node_count; n++) {
        struct node *node = &w->nodes[n];
        tg_sequential_symmetry_init(&node->symmetry, w->path.floor, distances, node->rounds);
        node->student = (struct tg_student){0};
        node->log_fail = 0;
        node->has_pending = false;
        distances += node->rounds;
    }
}

struct tg_walk *tg_walk_begin(const struct tg_walk_path *path)
{
    struct tg_walk *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->path = *path;
    w->node_count = 1;
    for (size_t r = 0; r < path->count; r++)
        if (node_of(w, r) >= w->node_count) w->node_count = node_of(w, r) + 1;
    w->nodes = calloc(w->node_count, sizeof *w->nodes);
    w->distances = malloc((2 * path->count + 1) * sizeof *w->distances);
    if (!w->nodes || !w->distances) {
        tg_walk_end(w);
        return NULL;
    }
    for (size_t r = 0; r < path->count; r++) w->nodes[node_of(w, r)].rounds++;
    restart(w);
    return w;
}

void tg_walk_end(struct tg_walk *walk)
{
    if (!walk) return;
    free(walk->nodes);
    free(walk->distances);
    free(walk);
}

static void take_unit(struct tg_walk *w, struct node *node, double d)
{
    bool has_floor = !isnan(w->path.floor);
    if (has_floor) w->log_fail = tg_sequential_symmetry_add(&w->symmetry, d);
    tg_sequential_student_add(&w->student, d);
    if (w->node_count == 1) return;
    if (has_floor) node->log_fail = tg_sequential_symmetry_add(&node->symmetry, d);
    tg_sequential_student_add(&node->student, d);
}

static void take_round(struct tg_walk *w, size_t round)
{
    struct node *node = &w->nodes[node_of(w, round)];
    double d = value_of(w, round);
    if (!w->is_paired) {
        take_unit(w, node, d);
    } else if (node->has_pending) {
        node->has_pending = false;
        take_unit(w, node, (node->pending + d) / 2);
    } else {
        node->has_pending = true;
        node->pending = d;
    }
}

/*
 * Whether successive rounds of a node are alike: the lag-1 correlation of what is left of the
 * rounds when each node's mean is taken away. Before pairing the nodes' means are those of their
 * rounds.
 */
static bool is_autocorrelated(struct tg_walk *w)
{
    double squares = 0, products = 0;
    if (w->taken < LAG_ROUNDS) return false;
    for (size_t n = 0; n < w->node_count; n++) w->nodes[n].has_before = false;
    for (size_t r = 0; r < w->taken; r++) {
        struct node *node = &w->nodes[node_of(w, r)];
        double rest = value_of(w, r) - (w->node_count == 1 ? w->student.mean : node->student.mean);
        squares += rest * rest;
        if (node->has_before) products += node->before * rest;
        node->before = rest;
        node->has_before = true;
    }
    return squares > 0 && products / squares > LAG_LINE / sqrt((double)w->taken);
}

void tg_walk_step(struct tg_walk *walk)
{
    assert(walk->taken < walk->path.count);
    take_round(walk, walk->taken++);
    if (walk->is_paired || !is_autocorrelated(walk)) return;
    walk->is_paired = true;
    restart(walk);
    for (size_t r = 0; r < walk->taken; r++) take_round(walk, r);
}

double tg_walk_log_fail(const struct tg_walk *walk)
{
    double most = walk->log_fail, sum = 0;
    if (walk->node_count == 1) return walk->log_fail;
    for (size_t n = 0; n < walk->node_count; n++) most = fmax(most, walk->nodes[n].log_fail);
    for (size_t n = 0; n < walk->node_count; n++) sum += exp(walk->nodes[n].log_fail - most);
    sum = (exp(walk->log_fail - most) + sum / (double)walk->node_count) / 2;
    return most + log(sum);
}

static bool has_unequal_spreads(const struct tg_walk *w)
{
    double least = INFINITY, most = 0;
    for (size_t n = 0; n < w->node_count; n++) {
        const struct tg_student *t = &w->nodes[n].student;
        if (t->rounds < SPREAD_UNITS) return false;
        double spread = sqrt(t->squares / (double)(t->rounds - 1));
        least = fmin(least, spread);
        most = fmax(most, spread);
    }
    return most > SPREAD_RATIO * least;
}

/*
 * What a node says against theta = centre if its mean lies on that side of it; on the other side it
 * says as little for the answer as a node can: the value of a mean that is the centre.
 */
static double log_from_side(const struct tg_student *t, double centre, bool is_below)
{
    bool agrees = is_below ? t->mean < centre : t->mean > centre;
    return tg_sequential_student_log_e(t, agrees ? centre : t->mean);
}

double tg_walk_log_student(const struct tg_walk *walk, double centre)
{
    bool is_below = walk->student.mean < centre;
    double sum = 0;
    if (walk->node_count == 1 || !has_unequal_spreads(walk))
        return tg_sequential_student_log_e(&walk->student, centre);
    for (size_t n = 0; n < walk->node_count; n++)
        sum += log_from_side(&walk->nodes[n].student, centre, is_below);
    return sum;
}

const struct tg_student *tg_walk_student(const struct tg_walk *walk)
{
    return &walk->student;
}

/* How many of these, nodes or runs, have most of their rounds above the floor. */
static size_t seen_by(const struct tg_walk *w, const int *numbers)
{
    size_t found = 0;
    for (size_t i = 0; numbers && i < w->taken; i++) {
        size_t first = 0, rounds = 0, above = 0;
        while (numbers[first] != numbers[i]) first++;
        if (first < i) continue;
        for (size_t r = i; r < w->taken; r++) {
            rounds += numbers[r] == numbers[i];
            above += numbers[r] == numbers[i] && value_of(w, r) > w->path.floor;
        }
        found += 2 * above > rounds;
    }
    return found;
}

size_t tg_walk_span(const struct tg_walk *walk)
{
    size_t nodes = seen_by(walk, walk->path.nodes), runs = seen_by(walk, walk->path.sessions);
    size_t most = nodes > runs ? nodes : runs;
    return most > 0 ? most : walk->taken > 0;
}

size_t tg_walk_super_rounds(const struct tg_walk *walk)
{
    return walk->is_paired ? walk->student.rounds : 0;
}
