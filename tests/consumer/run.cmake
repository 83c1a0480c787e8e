# Installs BUILD into a scratch prefix, builds the consumer against that prefix, and runs it.
# cmake -DBUILD=<build directory> -DSCRATCH=<directory> -DCXX=<compiler> -P run.cmake
file(REMOVE_RECURSE "${SCRATCH}")
function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()
run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${SCRATCH}/prefix")
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../../VERSION" version)
run("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}" -B "${SCRATCH}/build"
    "-DCMAKE_PREFIX_PATH=${SCRATCH}/prefix" "-DCMAKE_CXX_COMPILER=${CXX}"
    "-DEXPECTED_VERSION=${version}")
run("${CMAKE_COMMAND}" --build "${SCRATCH}/build")
run("${SCRATCH}/build/consumer" "${SCRATCH}/store")
# The installed command is of the same version, finds the policies, and reads what the consumer made.
set(command "${SCRATCH}/prefix/bin/fdpstore")
if(EXISTS "${command}")
  execute_process(COMMAND "${command}" --version OUTPUT_VARIABLE told COMMAND_ERROR_IS_FATAL ANY)
  if(NOT told STREQUAL "fdpstore ${version}\n")
    message(FATAL_ERROR "${command} --version says ${told}, VERSION is ${version}")
  endif()
  run("${command}" policies)
  run("${command}" fsck "${SCRATCH}/store")
endif()
file(REMOVE_RECURSE "${SCRATCH}")
