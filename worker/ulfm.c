/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/ulfm.h"

#ifdef TG_ULFM

#include <mpi.h>

#include <mpi-ext.h>
#include <signal.h>
#include <sys/prctl.h>

bool tg_ulfm_is_built(void)
{
    return true;
}

bool tg_ulfm_open(void)
{
    int *is_on, is_known = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    MPI_Comm_get_attr(MPI_COMM_WORLD, MPIX_FT, &is_on, &is_known);
    return is_known && *is_on &&
           MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN) == MPI_SUCCESS;
}

void tg_ulfm_look(bool *is_dead)
{
    MPI_Group dead, all;
    int count, rank;
    if (MPIX_Comm_failure_ack(MPI_COMM_WORLD) != MPI_SUCCESS ||
        MPIX_Comm_failure_get_acked(MPI_COMM_WORLD, &dead) != MPI_SUCCESS)
        return;
    MPI_Comm_group(MPI_COMM_WORLD, &all);
    MPI_Group_size(dead, &count);
    for (int i = 0; i < count; i++) {
        MPI_Group_translate_ranks(dead, 1, &i, all, &rank);
        is_dead[rank] = true;
    }
    MPI_Group_free(&all);
    MPI_Group_free(&dead);
}

bool tg_ulfm_is_death(int rc)
{
    int class = MPI_SUCCESS;
    MPI_Error_class(rc, &class);
    return class == MPIX_ERR_PROC_FAILED || class == MPIX_ERR_PROC_FAILED_PENDING;
}

#else

bool tg_ulfm_is_built(void)
{
    return false;
}

bool tg_ulfm_open(void)
{
    return false;
}

void tg_ulfm_look(bool *is_dead)
{
    (void)is_dead;
}

bool tg_ulfm_is_death(int rc)
{
    (void)rc;
    return false;
}

#endif
