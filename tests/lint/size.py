#!/usr/bin/env python3
"""Bounds on functions and files: size.py FILE… prints what is over its bound, and fails then.

Works on code that clang-format has laid out (Linux braces): a function's body is what stands between a lone `{` and a
lone `}` in the first column. A last `struct error *` is how a function fails, and not counted among its parameters.
"""

import re
import sys

FUNCTION_LINES = 70
FUNCTION_PARAMETERS = 5
FUNCTION_DEPTH = 3
FILE_LINES = {".c": 800, ".h": 500, ".def": 800, ".py": 600, ".sh": 400, ".cmake": 200, ".sql": 400, ".md": 600}
MAIN_LINES = 150


def code_of(line):
    """The line without its strings, character constants and comments (of one line)."""
    line = re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', "0", line)
    return re.sub(r"//.*|/\*.*?\*/", "", line)


def signature_before(lines, brace):
    """The lines of the signature that ends just above the brace: (first line's index, text)."""
    first = brace
    while first > 0:
        line = lines[first - 1]
        if not line.strip() or line[0] in "#}" or line.rstrip().endswith((";", "*/")):
            break
        first -= 1
    return first, " ".join(code_of(line) for line in lines[first:brace])


def parameters_of(signature):
    """(name, count) of the function whose signature this is; the last group of parentheses has the parameters."""
    depth = 0
    for start in range(len(signature) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(signature[start], 0)
        if depth == 0 and signature[start] == "(":
            break
    else:
        return None, 0
    name = re.search(r"(\w+)\s*$", signature[:start])
    inner = signature[start + 1:signature.rindex(")")].strip()
    if inner in ("", "void"):
        return name and name.group(1), 0
    inner = re.sub(r",\s*struct error \*\w+$", "", inner)
    depth, count = 0, 1
    for letter in inner:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        count += letter == "," and depth == 0
    return name and name.group(1), count


def functions_in(lines):
    """Yields (name, line number, lines, parameters, depth of braces inside)."""
    brace = None
    for index, line in enumerate(lines):
        if line.rstrip() == "{":
            brace, depth, deepest = index, 0, 0
        elif brace is None:
            continue
        elif line.rstrip() in ("}", "};"):
            first, signature = signature_before(lines, brace)
            name, count = parameters_of(signature)
            if name:
                yield name, first + 1, index - first + 1, count, deepest
            brace = None
        else:
            for letter in code_of(line):
                depth += {"{": 1, "}": -1}.get(letter, 0)
                deepest = max(deepest, depth)


def complaints(path, text):
    lines = text.splitlines()
    suffix = re.search(r"\.\w+$|$", path).group()
    bound = MAIN_LINES if re.search(r"^(?!tests/).*\bmain\.c$", path) else FILE_LINES.get(suffix)
    if bound and len(lines) > bound:
        yield f"{path}: {len(lines)} lines, at most {bound}"
    if suffix not in (".c", ".h"):
        return
    for name, line, length, parameters, depth in functions_in(lines):
        if length > FUNCTION_LINES:
            yield f"{path}:{line}: {name} has {length} lines, at most {FUNCTION_LINES}"
        if parameters > FUNCTION_PARAMETERS:
            yield f"{path}:{line}: {name} has {parameters} parameters, at most {FUNCTION_PARAMETERS}"
        if depth > FUNCTION_DEPTH:
            yield f"{path}:{line}: {name} is {depth} levels deep, at most {FUNCTION_DEPTH}"


def self_test():
    """The check must be able to fail: each kind of complaint, made here, is found."""
    body = "    step();\n"
    long = "int f(void)\n{\n" + body * 70 + "}\n"
    wide = "static void g(int a, int (*b)(int, int), int c,\n    int d, int e, int f)\n{\n" + body + "}\n"
    deep = "void h(void)\n{\n" + "if (x) {\n" * 4 + body + " }\n" * 4 + "}\n"
    fine = "void i(int a, int b, int c, int d, int e,\n    struct error *error)\n{\n" + body * 66 + "}\n"
    for path, text, word in [("a.c", long, "f has 73 lines"), ("a.c", wide, "g has 6 parameters"),
                             ("a.c", deep, "h is 4 levels"), ("x/main.c", "\n" * 151, "at most 150"),
                             ("a.c", "\n" * 801, "at most 800")]:
        found = list(complaints(path, text))
        assert len(found) == 1 and word in found[0], (word, found)
    assert not list(complaints("a.c", fine)), list(complaints("a.c", fine))


def main(paths):
    self_test()
    bad = 0
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            for complaint in complaints(path, file.read()):
                print(complaint)
                bad += 1
    print(f"{len(paths)} files, {bad} over their bounds")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
