# Writes embedded_policies.cpp from policies/*.policy at configure time and adds it to
# fdpstore_placement.
file(GLOB policy_files CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/policies/*.policy")
list(SORT policy_files)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${policy_files})

set(embedded "// Made from policies/*.policy by EmbedPolicies.cmake: do not edit.\n")
string(APPEND embedded "#include \"placement/embedded_policies.hpp\"\n\n"
                       "namespace fdpstore::placement {\nnamespace {\n"
                       "constexpr EmbeddedPolicy kPolicies[] = {\n")
foreach(policy_file IN LISTS policy_files)
  get_filename_component(policy_name "${policy_file}" NAME_WE)
  file(READ "${policy_file}" policy_text)
  string(APPEND embedded "{\"${policy_name}\", R\"policy(${policy_text})policy\"},\n")
endforeach()
string(APPEND embedded "};\n}  // namespace\n\n"
                       "std::span<const EmbeddedPolicy> embedded_policies() {\n"
                       "  return kPolicies;\n}\n\n"
                       "}  // namespace fdpstore::placement\n")
# Copied only when it differs, so that a new configure run does not compile it again.
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/embedded_policies.cpp.new" "${embedded}")
configure_file("${CMAKE_CURRENT_BINARY_DIR}/embedded_policies.cpp.new"
               "${CMAKE_CURRENT_BINARY_DIR}/embedded_policies.cpp" COPYONLY)
target_sources(fdpstore_placement PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/embedded_policies.cpp")
