# cmake -DOUTPUT=store_schema.c "-DINPUTS=001_first.sql;…" -P embed.cmake: the steps of the schema as C, in their order.
set(arrays "")
set(rows "")
foreach(input IN LISTS INPUTS)
    get_filename_component(name "${input}" NAME_WE)
    if(NOT name MATCHES "^0*([1-9][0-9]*)_")
        message(FATAL_ERROR "${input}: a schema file is called NNN_what.sql")
    endif()
    set(number "${CMAKE_MATCH_1}")
    file(READ "${input}" bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(APPEND arrays "static const char sql_${number}[] = {${bytes}0};\n")
    string(APPEND rows "    {${number}, sql_${number}},\n")
endforeach()
file(WRITE "${OUTPUT}" "#include \"master/store/store_schema.h\"

${arrays}
const struct schema_step store_schema[] = {
${rows}};
const size_t store_schema_count = sizeof store_schema / sizeof store_schema[0];
")
