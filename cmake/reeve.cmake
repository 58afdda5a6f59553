# How every target of reeve is built, and the libraries that the rooms may ask for by name.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(CZMQ REQUIRED IMPORTED_TARGET libczmq libzmq)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(ICU REQUIRED IMPORTED_TARGET icu-i18n icu-uc)
pkg_check_modules(MSGPACK REQUIRED IMPORTED_TARGET msgpack)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(PQ REQUIRED IMPORTED_TARGET libpq)

# CMake takes "-isystem FOLDER" for an include folder when it asks pkg-config, and for a flag when it has the answer in its
# cache: the second configuration would build all anew (libzmq's krb5 has one).
foreach(package CZMQ SQLITE YAML JANSSON SODIUM ICU MSGPACK CURL PQ)
    get_target_property(options PkgConfig::${package} INTERFACE_COMPILE_OPTIONS)
    if(options MATCHES "^-isystem;([^;]+)$")
        set_property(TARGET PkgConfig::${package} APPEND PROPERTY INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_MATCH_1}")
        set_property(TARGET PkgConfig::${package} PROPERTY INTERFACE_COMPILE_OPTIONS)
    endif()
endforeach()

add_library(reeve_flags INTERFACE)
target_include_directories(reeve_flags INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_definitions(reeve_flags INTERFACE _GNU_SOURCE
    REEVE_VERSION="${PROJECT_VERSION}" $<$<BOOL:${REEVE_CHECKS}>:REEVE_CHECKS=1>
    $<$<BOOL:${REEVE_STOP_POINTS}>:REEVE_STOP_POINTS=1>)
target_compile_options(reeve_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wno-sign-conversion -Wno-string-conversion
    -Wstrict-prototypes -Wmissing-prototypes -Wvla -fno-common -UNDEBUG
    $<$<BOOL:${REEVE_WERROR}>:-Werror>)
if(REEVE_SANITIZE)
    target_compile_options(reeve_flags INTERFACE
        -fsanitize=${REEVE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(reeve_flags INTERFACE -fsanitize=${REEVE_SANITIZE})
endif()
if(REEVE_COVERAGE)
    target_compile_options(reeve_flags INTERFACE -O1 -fprofile-instr-generate -fcoverage-mapping)
    target_link_options(reeve_flags INTERFACE -fprofile-instr-generate)
endif()
if(REEVE_FUZZ AND NOT REEVE_COVERAGE)
    target_compile_options(reeve_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# reeve_library(NAME SOURCES a.c b.c LINK x y): one room.
function(reeve_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC reeve_flags ${ARG_LINK})
endfunction()

# reeve_program(NAME SOURCES a.c LINK x y): one executable, in build/PRESET/bin.
function(reeve_program name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE reeve_flags ${ARG_LINK})
endfunction()
