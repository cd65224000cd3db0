# Compiles each header of the rooms alone, and twice over so that its guard is tried, as C17; those
# of kernels/ also as C++17, since CUDA sources include them.
#
#   cmake -D CC=cc -D CXX=c++ -D SOURCE=. -P tests/test_headers.cmake

if(NOT CXX)
  message(FATAL_ERROR "no C++ compiler: install g++ (apt), gcc-c++ (dnf) or gcc (spack)")
endif()

set(failed 0)
function(compile header)
  execute_process(
    COMMAND ${ARGN} -fsyntax-only -Wall -Wextra -Werror -D_GNU_SOURCE -I${SOURCE}
      -include ${header} -include ${header} /dev/null
    RESULT_VARIABLE status ERROR_VARIABLE errors)
  if(NOT status EQUAL 0)
    message("${header}: does not compile alone\n${errors}")
    math(EXPR failed "${failed} + 1")
    set(failed ${failed} PARENT_SCOPE)
  endif()
endfunction()

set(headers "")
foreach(room base matrix kernels results worker coordinator)
  file(GLOB_RECURSE found RELATIVE ${SOURCE} ${SOURCE}/${room}/*.h)
  list(APPEND headers ${found})
endforeach()
if(NOT headers)
  message(FATAL_ERROR "no header in '${SOURCE}'")
endif()

foreach(header IN LISTS headers)
  compile(${header} ${CC} -x c -std=c17 -Wstrict-prototypes)
  if(header MATCHES "^kernels/")
    compile(${header} ${CXX} -x c++ -std=c++17)
  endif()
endforeach()
if(failed GREATER 0)
  message(FATAL_ERROR "${failed} failed")
endif()
