# SPDX-License-Identifier: MIT
"""make_binding.py OUTPUT.py HEADER...: the declarations of C headers as a cffi module (out of line, ABI mode).

The headers are the only source: what cffi cannot read is cut from their text, nothing is added. Understands what
include/tilefold.h is written in: one statement after another, inline functions without nested braces.
"""

import pathlib
import re
import sys

import cffi


def declarations(text):
    """The text of a header without comments, preprocessor lines, inline functions and what only a compiler wants."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
    text = re.sub(r'#ifdef __cplusplus\n.*?#endif\n', "", text, flags=re.DOTALL)
    constants = re.findall(r"^#define\s+\w+\s+\d+\s*$", text, flags=re.MULTILINE)
    text = re.sub(r"^#(?:[^\n]*\\\n)*[^\n]*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\bstatic inline\b[^{]*\{[^{}]*\}", "", text)
    text = re.sub(r"\b(?:TILEFOLD_API|_Atomic)\b", "", text)
    return "\n".join(constants) + "\n" + text


def main(output, *headers):
    output = pathlib.Path(output)
    builder = cffi.FFI()
    for header in headers:
        builder.cdef(declarations(pathlib.Path(header).read_text(encoding="utf-8")))
    builder.set_source(output.stem, None)
    builder.emit_python_code(str(output))


if __name__ == "__main__":
    main(*sys.argv[1:])
