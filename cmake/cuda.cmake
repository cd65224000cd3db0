# CUDA is optional: without its compiler, or with sanitizers, its kernels are listed and not built.
# The run-time library is linked in; it finds the driver, or says that there is none.
set(cuda_text "without")
set(cuda_libraries "")
if(TRITGATE_CUDA AND NOT TRITGATE_SANITIZE)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_ARCHITECTURES OFF) # isa.def says them
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
    set(CMAKE_CUDA_STANDARD 17)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    set(cuda_text ${CMAKE_CUDA_COMPILER_VERSION})
    set(cuda_libraries CUDA::cudart_static ${CMAKE_DL_LIBS})
    # Of cuBLASLt the header alone is used: the library is opened where a kernel of it is run.
    find_file(cublaslt_header cublasLt.h PATHS ${CUDAToolkit_INCLUDE_DIRS} NO_DEFAULT_PATH)
  endif()
else()
  set(CMAKE_CUDA_COMPILER "") # of an earlier configuring of this folder
endif()
