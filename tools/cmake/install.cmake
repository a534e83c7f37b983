# Installation: the library, its header, the program, the CMake package and the pkg-config file.
include(CMakePackageConfigHelpers)
set(NIB_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/nibble)

# A static library brings what it stands on to the link of every program.  OpenMP's runtime is
# named, not searched for: it has to be that of the compiler which built the library, and need not
# be that of the program's.
#
# pkg-config gets the modules' own flags, and not their names: `pkg-config --static` would ask for
# what static forms of them need as well, which is seldom there (libudev for hwloc).
set(NIB_PC_LIBS)
if(NOT NIB_SHARED)
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_link_libraries(nibble PRIVATE $<INSTALL_INTERFACE:gomp>)
    list(APPEND NIB_PC_LIBS -lgomp)
  else()
    list(GET OpenMP_C_LIB_NAMES 0 name)
    set(runtime ${OpenMP_${name}_LIBRARY})
    get_filename_component(folder ${runtime} DIRECTORY)
    target_link_libraries(nibble PRIVATE $<INSTALL_INTERFACE:${runtime}>)
    list(APPEND NIB_PC_LIBS -L${folder} -l${name})
  endif()
  if(yyjson_FOUND)
    target_link_libraries(nibble PRIVATE $<INSTALL_INTERFACE:yyjson::yyjson>)
    list(APPEND NIB_PC_LIBS -lyyjson)
  endif()
  list(PREPEND NIB_PC_LIBS ${NIB_MODULES_LDFLAGS})
  list(APPEND NIB_PC_LIBS -lm)
endif()

install(TARGETS nibble EXPORT nibbleTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_SOURCE_DIR}/include/nibble.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS nibble_tool DESTINATION ${CMAKE_INSTALL_BINDIR})
if(NIB_SHARED)
  file(RELATIVE_PATH to_library ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(nibble_tool PROPERTIES INSTALL_RPATH "$ORIGIN/${to_library}")
endif()

install(EXPORT nibbleTargets NAMESPACE nibble:: DESTINATION ${NIB_PACKAGE_DIR})
string(JOIN " " NIB_CONFIG_MODULES ${NIB_MODULES})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/nibbleConfig.cmake.in nibbleConfig.cmake
                              INSTALL_DESTINATION ${NIB_PACKAGE_DIR})
write_basic_package_version_file(nibbleConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/nibbleConfig.cmake ${PROJECT_BINARY_DIR}/nibbleConfigVersion.cmake
        DESTINATION ${NIB_PACKAGE_DIR})

# Relative to the file itself, so that an installed tree may be moved.
file(RELATIVE_PATH up ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
set(NIB_PC_PREFIX "\${pcfiledir}/${up}")
string(JOIN " " NIB_PC_LIBS ${NIB_PC_LIBS})
set(NIB_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
set(NIB_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/nibble.pc.in nibble.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/nibble.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# pkg-config prefers this one where it finds it: nibble as it lies in the build folder.
set(NIB_PC_PREFIX ${PROJECT_SOURCE_DIR})
set(NIB_PC_LIBDIR ${PROJECT_BINARY_DIR})
set(NIB_PC_INCLUDEDIR "\${prefix}/include")
configure_file(${CMAKE_CURRENT_LIST_DIR}/nibble.pc.in nibble-uninstalled.pc @ONLY)
