# What `cmake --install` puts where. The programs find each other and their parts by these places, relative to their own,
# so that every prefix serves: /usr/local, /usr, or a folder under somebody's home.

install(TARGETS reeve reeve-master reeve-worker reeve-runner DESTINATION bin)
install(TARGETS reeve-op-postgres reeve-op-probe reeve-op-spark DESTINATION lib/reeve/operators)
install(PROGRAMS operators/python/reeve-op-python DESTINATION lib/reeve/operators)
# From the build, where it lies compiled.
install(DIRECTORY "${CMAKE_BINARY_DIR}/lib/reeve/python/reeve" DESTINATION lib/reeve/python)
install(DIRECTORY docs dags DESTINATION share/doc/reeve PATTERN "__pycache__" EXCLUDE)
install(FILES README.md LICENSE DESTINATION share/doc/reeve)

# systemd wants absolute paths, and the prefix may be said as late as at the install.
install(CODE "set(units \"${CMAKE_SOURCE_DIR}/deploy/systemd\")")
install(CODE [[
    foreach(name IN ITEMS reeve-master reeve-worker)
        set(place "${CMAKE_INSTALL_PREFIX}/lib/systemd/system/${name}.service")
        message(STATUS "Installing: $ENV{DESTDIR}${place}")
        file(READ "${units}/${name}.service" text)
        string(REPLACE "/usr/bin/" "${CMAKE_INSTALL_PREFIX}/bin/" text "${text}")
        file(WRITE "$ENV{DESTDIR}${place}" "${text}")
        list(APPEND CMAKE_INSTALL_MANIFEST_FILES "${place}")
    endforeach()
]])
