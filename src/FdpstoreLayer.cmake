# fdpstore_layer(<name> [DEPS <targets>…]): the sources of src/<name> as the static library
# fdpstore_<name>, alias fdpstore::<name>. DEPS are the only things the layer may use (DESIGN §3).
add_library(fdpstore_settings INTERFACE)
target_include_directories(fdpstore_settings INTERFACE
  "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>")
target_compile_definitions(fdpstore_settings INTERFACE FDPSTORE_VERSION="${PROJECT_VERSION}")
target_compile_options(fdpstore_settings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Woverloaded-virtual -Wunused-result)
if(CMAKE_UNITY_BUILD)  # a source's own types are then no header's, whatever gcc takes it for
  target_compile_options(fdpstore_settings INTERFACE
                         $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
if(FDPSTORE_WERROR)
  target_compile_options(fdpstore_settings INTERFACE -Werror)
endif()
set(address -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Half of the time to compile: no checks of undefined behaviour in the libraries' own templates,
  # and those of addresses as calls, with which the tests take up to a sixth longer.
  list(APPEND address "-fsanitize-ignorelist=${CMAKE_CURRENT_LIST_DIR}/ubsan_ignorelist.txt"
       -fsanitize-address-outline-instrumentation)
endif()
if(FDPSTORE_SANITIZE STREQUAL "address")
  target_compile_options(fdpstore_settings INTERFACE ${address})
  target_link_options(fdpstore_settings INTERFACE -fsanitize=address,undefined)
elseif(FDPSTORE_SANITIZE STREQUAL "thread")
  target_compile_options(fdpstore_settings INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(fdpstore_settings INTERFACE -fsanitize=thread)
elseif(FDPSTORE_SANITIZE STREQUAL "fuzzer")
  target_compile_options(fdpstore_settings INTERFACE -fsanitize=fuzzer-no-link ${address})
  target_link_options(fdpstore_settings INTERFACE -fsanitize=address,undefined)
elseif(FDPSTORE_SANITIZE)
  message(FATAL_ERROR
    "FDPSTORE_SANITIZE is '${FDPSTORE_SANITIZE}': use address, thread, fuzzer, or nothing")
endif()

function(fdpstore_layer name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp")
  if(NOT sources)
    return()
  endif()
  add_library(fdpstore_${name} STATIC ${sources})
  add_library(fdpstore::${name} ALIAS fdpstore_${name})
  set_target_properties(fdpstore_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(fdpstore_${name} PUBLIC
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
    "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  target_link_libraries(fdpstore_${name} PRIVATE "$<BUILD_INTERFACE:fdpstore_settings>" ${ARG_DEPS})
  install(TARGETS fdpstore_${name} EXPORT fdpstore ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endfunction()
