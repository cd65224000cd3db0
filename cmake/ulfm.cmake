# Whether MPI has User-Level Failure Mitigation, by which survivors of a dead rank go on: Open MPI
# has it since 5.0. The answer is TG_ULFM in the cache, where tests look for it.
include(CheckSymbolExists)
set(CMAKE_REQUIRED_LIBRARIES MPI::MPI_C)
check_symbol_exists(MPIX_Comm_failure_ack "mpi.h;mpi-ext.h" TG_ULFM)
unset(CMAKE_REQUIRED_LIBRARIES)
set(ulfm_text "without ULFM")
if(TG_ULFM)
  set(ulfm_text "with ULFM")
endif()
