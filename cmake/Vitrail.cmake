# Helpers for the folders under src/. One folder is one library; its level decides what it may include.

set(VITRAIL_WARNINGS -Wall -Wextra -Werror -Wno-missing-field-initializers -Wno-unused-parameter)
# Where the shared corpora lie; the tests that read them say so and are left out where they are absent. The environment
# variable of the same name counts when a test runs, too (base/shared_for_test.h, tools/vitrail/shared.py).
if(DEFINED ENV{VITRAIL_SHARED})
  set(VITRAIL_SHARED_DEFAULT "$ENV{VITRAIL_SHARED}")
else()
  get_filename_component(VITRAIL_SHARED_DEFAULT "${CMAKE_CURRENT_SOURCE_DIR}/../shared" ABSOLUTE)
endif()
set(VITRAIL_SHARED "${VITRAIL_SHARED_DEFAULT}" CACHE PATH "folder with corpus/")

# Tests are compiled for longer than they run.
set(VITRAIL_TEST_OPTIONS ${VITRAIL_WARNINGS} -O0 -fPIC)  # PIC, as the precompiled header is.

# vitrail_library(<folder> LEVEL <n> SOURCES <files> [COLD <files>] [DEPS <targets>] [PRIVATE_DEPS <targets>])
#
# COLD: those of the sources that no statement and no row passes through; they are compiled with little inlining, which
# takes a third off their time (measured: 19.4 s to 11.4 s for control/tablet_methods.cc) and their size.
# What comes from outside is precompiled for all (proto/precompiled.h); sources include what they use all the same.
# Makes library vitrail_<folder>, and records its level for the layer check (tools/check_layers.py): a folder may link
# and include only folders of lower levels.
function(vitrail_library folder)
  cmake_parse_arguments(ARG "" "LEVEL" "SOURCES;COLD;DEPS;PRIVATE_DEPS" ${ARGN})
  set(target vitrail_${folder})
  add_library(${target} STATIC ${ARG_SOURCES})
  set_source_files_properties(${ARG_COLD} PROPERTIES COMPILE_OPTIONS "-mllvm;-inline-threshold=10")
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_compile_options(${target} PRIVATE ${VITRAIL_WARNINGS})
  target_link_libraries(${target} PUBLIC ${ARG_DEPS} fmt::fmt Threads::Threads PRIVATE ${ARG_PRIVATE_DEPS})
  set_property(TARGET ${target} PROPERTY VITRAIL_LEVEL ${ARG_LEVEL})
  target_precompile_headers(${target} REUSE_FROM vitrail_precompiled)
  foreach(dep ${ARG_DEPS} ${ARG_PRIVATE_DEPS})
    if(dep MATCHES "^vitrail_" AND NOT dep STREQUAL "vitrail_proto")
      get_property(level TARGET ${dep} PROPERTY VITRAIL_LEVEL)
      if(NOT level LESS ARG_LEVEL)
        message(FATAL_ERROR "src/${folder} (level ${ARG_LEVEL}) may not depend on ${dep} (level ${level}).")
      endif()
    endif()
  endforeach()
endfunction()

# What tests that start servers begin with.
set(VITRAIL_OWN_NETWORK /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tools/own_network.py)

# vitrail_test(<name> SOURCES <files> DEPS <targets> [TIMEOUT <seconds>] [LABELS <labels>])
#
# One executable in build/tests, one ctest entry. GoogleTest's main.
function(vitrail_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  if(VITRAIL_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 4")  # Programs under a sanitizer are slow.
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_compile_options(${name} PRIVATE ${VITRAIL_TEST_OPTIONS})
  target_precompile_headers(${name} REUSE_FROM vitrail_precompiled_tests)
  target_compile_definitions(${name} PRIVATE VITRAIL_SHARED_DIR="${VITRAIL_SHARED}")
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest_main)
  set(network "")
  if("server" IN_LIST ARG_LABELS)
    set(network ${VITRAIL_OWN_NETWORK})
  endif()
  add_test(NAME ${name} COMMAND ${network} $<TARGET_FILE:${name}>)
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
  if("server" IN_LIST ARG_LABELS)  # Two of `./dev test`'s four places, and early: they take long.
    set_tests_properties(${name} PROPERTIES PROCESSORS 2 COST 20)
  endif()
endfunction()

# vitrail_fuzz(<name> SOURCES <file> DEPS <targets>)
#
# The source defines LLVMFuzzerTestOneInput. The ordinary tests run it for a second from its seed folder
# (<source folder>/fuzz/<name>/, kept inputs), with libFuzzer's own main.
function(vitrail_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_compile_options(${name} PRIVATE ${VITRAIL_WARNINGS})
  if(VITRAIL_FUZZ)
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer,address)
  endif()
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  set(seeds ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/${name})
  set(found ${CMAKE_BINARY_DIR}/fuzz/${name})
  file(MAKE_DIRECTORY ${found})
  if(NOT EXISTS ${seeds})
    set(seeds "")
  endif()
  add_test(NAME ${name} COMMAND ${name} -max_total_time=1 -timeout=5 -rss_limit_mb=2048 -artifact_prefix=${found}/ ${found} ${seeds})
  set_tests_properties(${name} PROPERTIES TIMEOUT 60 LABELS fuzz)
endfunction()

# `ninja programs`: what runs, without tests.
add_custom_target(programs)
# `ninja benches`: micro-benchmarks.
add_custom_target(benches)

# vitrail_binary(<name> SOURCES <files> DEPS <targets>): an executable in build/bin.
function(vitrail_binary name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  target_compile_options(${name} PRIVATE ${VITRAIL_WARNINGS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  add_dependencies(programs ${name})
endfunction()

# vitrail_bench(<name> SOURCES <files> DEPS <targets>): a micro-benchmark in build/bench, run by `./dev bench micro`.
function(vitrail_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
  target_compile_options(${name} PRIVATE ${VITRAIL_WARNINGS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  add_dependencies(benches ${name})
endfunction()
