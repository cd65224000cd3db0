/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/wire.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/pulse.h"

/* Of one rank; what passes between ranks is seen by whole runs. */

/* mpi.h stays behind its door. */
int MPI_Initialized(int *flag);

static const char *const launcher[] = {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK",
                                       "OMPI_COMM_WORLD_LOCAL_RANK", "PMIX_RANK", "PMI_RANK"};

static int forget_the_launcher(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof launcher / sizeof *launcher; i++) unsetenv(launcher[i]);
    return 0;
}

static void without_a_launcher_there_is_one_rank_and_no_mpi(void **state)
{
    (void)state;
    struct tg_wire *wire = NULL;
    struct tg_error err;
    int flag = 1, rank = 77;
    char *text = NULL;
    /* A node number of Slurm's is not a launcher. */
    setenv("SLURM_LOCALID", "3", 1);
    assert_int_equal(tg_wire_open(&wire, &err), 0);
    assert_int_equal(tg_wire_rank(wire), 0);
    assert_int_equal(tg_wire_size(wire), 1);
    assert_int_equal(tg_wire_worker_index(wire), 0);
    assert_int_equal(tg_wire_worker_count(wire), 1);
    assert_int_equal(tg_wire_send(wire, 0, "text", &err), -1);
    assert_string_equal(err.text, "there is no other rank");
    assert_int_equal(tg_wire_receive(wire, INFINITY, &rank, &text, &err), -1);
    assert_string_equal(err.text, "there is no other rank");
    assert_int_equal(rank, 77);
    assert_null(text);
    assert_true(tg_pulse());
    tg_wire_set_patience(wire, 0);
    assert_false(tg_wire_is_lost(wire, 0));
    assert_false(tg_wire_is_dead(wire, 0));
    tg_wire_close(wire, 0);
    tg_wire_close(NULL, 0);
    unsetenv("SLURM_LOCALID");
    assert_int_equal(MPI_Initialized(&flag), 0);
    assert_int_equal(flag, 0);
}

static void the_rank_is_known_before_the_wire_is_opened(void **state)
{
    (void)state;
    assert_int_equal(tg_wire_launched_rank(), 0);
    setenv("PMI_RANK", "5", 1);
    assert_int_equal(tg_wire_launched_rank(), 5);
    setenv("PMIX_RANK", "4", 1);
    assert_int_equal(tg_wire_launched_rank(), 4);
    setenv("OMPI_COMM_WORLD_RANK", "3", 1);
    assert_int_equal(tg_wire_launched_rank(), 3);
}

static void a_lone_rank_ends_with_the_status_it_is_given(void **state)
{
    (void)state;
    struct tg_wire *wire;
    int status;
    assert_int_equal(tg_wire_open(&wire, NULL), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) tg_wire_abort(wire, 4);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 4);
    tg_wire_close(wire, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, forget_the_launcher, forget_the_launcher)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_launcher_there_is_one_rank_and_no_mpi),
        TEST(the_rank_is_known_before_the_wire_is_opened),
        TEST(a_lone_rank_ends_with_the_status_it_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
