# One target that every room uses: the language, the warnings, the sanitizers, the include root.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or Debug" FORCE)
endif()
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_library(tg_flags INTERFACE)
target_include_directories(tg_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(tg_flags INTERFACE _GNU_SOURCE TRITGATE_VERSION="${PROJECT_VERSION}")
target_compile_options(tg_flags INTERFACE "$<$<COMPILE_LANGUAGE:C>:-Wall;-Wextra;-Wpedantic;\
-Wshadow;-Wstrict-prototypes;-Wmissing-prototypes;-Wpointer-arith;-Wcast-qual;-Wvla;\
-Wno-missing-field-initializers;-ffp-contract=off>"
  $<$<AND:$<COMPILE_LANGUAGE:C>,$<C_COMPILER_ID:GNU>>:-Wno-format-truncation>
  "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra;-Werror=all-warnings>")
target_link_options(tg_flags INTERFACE $<$<PLATFORM_ID:Linux>:-Wl,--as-needed>)
if(TRITGATE_WERROR)
  target_compile_options(tg_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:-Werror>)
endif()
if(TRITGATE_SANITIZE)
  target_compile_options(tg_flags INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer
    -fno-sanitize-recover=undefined)
  target_link_options(tg_flags INTERFACE -fsanitize=address,undefined)
  target_compile_definitions(tg_flags INTERFACE TG_SANITIZED)
endif()
if(TRITGATE_FUZZ)
  target_compile_options(tg_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:-fsanitize=fuzzer-no-link>)
endif()

# tg_room(NAME [USES room ...] [LIBRARIES target ...]): a folder, built as a static library. Of CUDA
# sources those named forward_* have instructions of 9.0.
function(tg_room name)
  cmake_parse_arguments(room "" "" "USES;LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${name}/*.c)
  if(CMAKE_CUDA_COMPILER)
    file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${name}/*.cu)
    list(APPEND sources ${cuda_sources})
    set(hopper_flags ${CUDA_flags})
    list(FILTER hopper_flags INCLUDE REGEX "compute_90")
    set_source_files_properties(${cuda_sources} PROPERTIES COMPILE_OPTIONS "${CUDA_flags}")
    list(FILTER cuda_sources INCLUDE REGEX "/forward_[a-z_]*\\.cu$")
    set_source_files_properties(${cuda_sources} PROPERTIES COMPILE_OPTIONS "${hopper_flags}")
  endif()
  list(FILTER sources EXCLUDE REGEX "/coordinator/main\\.c$")
  if(NOT TRITGATE_STUBS)
    list(FILTER sources EXCLUDE REGEX "/(device|forward)_fake\\.c$")
  endif()
  add_library(${name} STATIC ${sources})
  target_compile_options(${name} PRIVATE # kernels: CMake's -O3
    $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:C>>:-O2>)
  target_link_libraries(${name} PUBLIC ${room_USES} m PRIVATE tg_flags ${room_LIBRARIES})
endfunction()
