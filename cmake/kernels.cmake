# The kernels: which are built, and with which flags, is read from the tables of the program.
#
# Each instruction set is BUILT, UNBUILT (its processor is not the target's, or there is no compiler
# for its device, or no header of its library) or ABSENT (the stubs, without TRITGATE_STUBS), and so
# are its kernels; a kernel that is slower on purpose is SLOWED.

set(isa_table ${PROJECT_SOURCE_DIR}/kernels/isa.def)
set(kernel_table ${PROJECT_SOURCE_DIR}/kernels/kernels.def)
set(peak_table ${PROJECT_SOURCE_DIR}/kernels/peaks.def)
set(vector_table ${PROJECT_SOURCE_DIR}/kernels/vectors.def)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${isa_table} ${kernel_table}
  ${peak_table} ${vector_table})

string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
string(REGEX REPLACE "^amd64$" "x86_64" processor "${processor}")

set(table_states "")
set(word "([A-Za-z0-9_]+), *")

file(STRINGS ${isa_table} rows REGEX "^ISA\\(")
foreach(row IN LISTS rows)
  if(NOT row MATCHES "^ISA\\(${word}${word}${word}${word}\"([^\"]*)\"")
    message(FATAL_ERROR "${isa_table}: unusable row '${row}'")
  endif()
  set(isa ${CMAKE_MATCH_1})
  set(${isa}_folder ${CMAKE_MATCH_3})
  set(${isa}_processor ${CMAKE_MATCH_4})
  separate_arguments(${isa}_flags UNIX_COMMAND "${CMAKE_MATCH_5}")
  set(${isa}_suffix c)
  if("${${isa}_folder}" STREQUAL "cuda")
    set(${isa}_suffix cu)
  endif()
  if("${isa}" MATCHES "^(STUB|STUB_WIDE|FAKE|CUDA_STUB)$" AND NOT TRITGATE_STUBS)
    set(${isa}_state ABSENT)
  elseif("${${isa}_folder}" STREQUAL "cuda" AND NOT CMAKE_CUDA_COMPILER)
    set(${isa}_state UNBUILT)
  elseif("${isa}" STREQUAL "CUBLASLT" AND NOT cublaslt_header)
    set(${isa}_state UNBUILT)
  elseif("${${isa}_processor}" MATCHES "^(any|${processor})$")
    set(${isa}_state BUILT)
  else()
    set(${isa}_state UNBUILT)
  endif()
  list(APPEND table_states TG_ISA_${isa}=${${isa}_state})
endforeach()

separate_arguments(slowed UNIX_COMMAND "${TRITGATE_INJECT_ONLY}")
set(not_slowed ${slowed})
set(kernel_sources "")

file(STRINGS ${kernel_table} rows REGEX "^KERNEL\\(")
foreach(row IN LISTS rows)
  string(REGEX MATCH "^KERNEL\\(${word}${word}${word}${word}" matched "${row}")
  set(kernel ${CMAKE_MATCH_1})
  set(isa ${CMAKE_MATCH_4})
  if(NOT matched OR NOT DEFINED ${isa}_state)
    message(FATAL_ERROR "${kernel_table}: unusable row '${row}'")
  endif()
  set(state ${${isa}_state})
  if("${state}" STREQUAL "BUILT")
    set(source ${PROJECT_SOURCE_DIR}/kernels/${${isa}_folder}/${kernel}.${${isa}_suffix})
    list(APPEND kernel_sources ${source})
    # In its own file only, a kernel is tg_body_<name>: others call it through the dispatch.
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${${isa}_flags}"
      COMPILE_DEFINITIONS "tg_kernel_${kernel}=tg_body_${kernel}")
    # Whole models are computed by these in tests.
    if(TRITGATE_SANITIZE AND ("${isa}" STREQUAL "SCALAR" OR "${kernel}" STREQUAL "i2s_avx2"))
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -O2)
    endif()
    if(TRITGATE_INJECT_SLOWDOWN GREATER 0 AND (NOT slowed OR kernel IN_LIST slowed))
      set(state SLOWED)
    endif()
  endif()
  list(REMOVE_ITEM not_slowed ${kernel})
  list(APPEND table_states TG_KERNEL_${kernel}=${state})
endforeach()
if(not_slowed)
  message(FATAL_ERROR "TRITGATE_INJECT_ONLY: no kernel '${not_slowed}'")
endif()

# Peaks are as fast in every build type: what they limit may come from a library of another one.
file(STRINGS ${peak_table} rows REGEX "^PEAK\\(")
foreach(row IN LISTS rows)
  string(REGEX MATCH "^PEAK\\(${word}${word}" matched "${row}")
  set(isa ${CMAKE_MATCH_1})
  set(name ${CMAKE_MATCH_2})
  if(NOT matched OR NOT DEFINED ${isa}_state)
    message(FATAL_ERROR "${peak_table}: unusable row '${row}'")
  endif()
  set(source ${PROJECT_SOURCE_DIR}/kernels/${${isa}_folder}/peak_${name}.c)
  if("${${isa}_state}" STREQUAL "BUILT" AND NOT source IN_LIST kernel_sources)
    list(APPEND kernel_sources ${source})
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
      "-O3;-fno-sanitize=all;${${isa}_flags}")
  endif()
endforeach()

file(STRINGS ${vector_table} rows REGEX "^VECTOR\\(")
foreach(row IN LISTS rows)
  string(REGEX MATCH "^VECTOR\\(${word}${word}" matched "${row}")
  set(isa ${CMAKE_MATCH_1})
  set(name ${CMAKE_MATCH_2})
  if(NOT matched OR NOT DEFINED ${isa}_state)
    message(FATAL_ERROR "${vector_table}: unusable row '${row}'")
  endif()
  set(source ${PROJECT_SOURCE_DIR}/kernels/${${isa}_folder}/vector_${name}.c)
  if("${${isa}_state}" STREQUAL "BUILT")
    list(APPEND kernel_sources ${source})
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${${isa}_flags}")
    if(TRITGATE_SANITIZE)
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -O2)
    endif()
  endif()
endforeach()

string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
string(JOIN " " build_text ${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION} ${processor}
  ${CMAKE_BUILD_TYPE} ${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_${build_type}})
if(TRITGATE_SANITIZE)
  string(APPEND build_text " sanitized")
endif()
file(GLOB table_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.c)
if(TRITGATE_SANITIZE)
  # Loops over every weight, here and in scalar kernels, take most of what tests compute.
  set_source_files_properties(${table_sources} PROPERTIES COMPILE_OPTIONS -O2)
endif()
# These read what is built; nothing else is compiled again where that changes.
set(state_sources isa.c kernel.c peak.c vector.c)
list(TRANSFORM state_sources PREPEND ${PROJECT_SOURCE_DIR}/kernels/)
set_source_files_properties(${state_sources} PROPERTIES COMPILE_DEFINITIONS
  "${table_states};TG_INJECTED_PERCENT=${TRITGATE_INJECT_SLOWDOWN};TG_BUILD=\"${build_text}\"")

# The canaries are frozen: one code, whatever the build type, the sanitizers and the level say.
set(frozen -O2 -fno-tree-vectorize -fno-tree-slp-vectorize -fno-unroll-loops -fomit-frame-pointer
  -fno-stack-protector -fno-sanitize=all)
set_source_files_properties(${PROJECT_SOURCE_DIR}/kernels/canary.c PROPERTIES
  COMPILE_OPTIONS "${frozen}")

# Compiled once, linked twice: into the program, and as the library that another build's program
# opens, whose only symbol is tritgate_kernels_v1.
set(cuda_names isa_cuda.cu peak_cuda.cu)
if(CMAKE_CUDA_COMPILER)
  list(TRANSFORM cuda_names PREPEND ${PROJECT_SOURCE_DIR}/kernels/cuda/
    OUTPUT_VARIABLE cuda_sources)
  set_source_files_properties(${cuda_sources} PROPERTIES COMPILE_OPTIONS "${CUDA_flags}")
  list(APPEND kernel_sources ${cuda_sources})
endif()
if("${CUBLASLT_state}" STREQUAL "BUILT")
  set(source ${PROJECT_SOURCE_DIR}/kernels/cuda/cublaslt.cu)
  set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${CUBLASLT_flags}")
  list(APPEND kernel_sources ${source})
endif()
add_library(kernel-objects OBJECT ${table_sources} ${kernel_sources})
target_link_libraries(kernel-objects PRIVATE tg_flags)
set_target_properties(kernel-objects PROPERTIES C_VISIBILITY_PRESET hidden
  CUDA_VISIBILITY_PRESET hidden)
# Where a loop happens to begin in a cache line is worth up to a quarter of its time: two builds of
# the same source must not differ in that.
target_compile_options(kernel-objects PRIVATE $<$<COMPILE_LANGUAGE:C>:-falign-functions=64>
  "$<$<AND:$<COMPILE_LANGUAGE:C>,$<C_COMPILER_ID:GNU>>:-falign-loops=64;-falign-jumps=32>")
if(TRITGATE_SANITIZE)
  # Lines are enough: what a debugger wants of each vector is a quarter of the compiler's time.
  target_compile_options(kernel-objects PRIVATE $<$<COMPILE_LANGUAGE:C>:-g1>)
endif()

add_library(kernels STATIC $<TARGET_OBJECTS:kernel-objects>)
target_include_directories(kernels PUBLIC ${PROJECT_SOURCE_DIR})
target_link_libraries(kernels PRIVATE tg_flags PUBLIC m ${cuda_libraries})

add_library(tritgate-kernels SHARED $<TARGET_OBJECTS:kernel-objects>)
target_link_libraries(tritgate-kernels PRIVATE tg_flags m ${cuda_libraries})
target_link_options(tritgate-kernels PRIVATE -Wl,--exclude-libs,ALL)
set_target_properties(tritgate-kernels PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
