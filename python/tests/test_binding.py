# SPDX-License-Identifier: MIT
"""The binding against the header: a C compiler says where everything lies."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import tilefold
from conftest import ROOT
from tilefold._binding import ffi
from tilefold._library import lib

INCLUDES = ROOT / "include", ROOT / "python"


def structs():
    """The structs that are defined by typedef, with their fields."""
    for name in ffi.list_types()[0]:
        ctype = ffi.typeof(name)
        try:
            ffi.sizeof(ctype)
        except ffi.error:  # an opaque one, whose fields cffi must not be asked for
            continue
        if ctype.kind == "struct":
            yield name, ctype


def test_sizes_and_offsets(tmp_path):
    compiler = shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or "cc"]
    if not shutil.which(compiler[0]):
        pytest.skip("no C compiler")
    if not INCLUDES[0].exists():
        pytest.skip("no source tree")
    lines, expected = [], []
    for name, ctype in structs():
        lines.append(f'printf("%zu\\n", sizeof({name}));')
        expected.append(ffi.sizeof(ctype))
        for field, _ in ctype.fields:
            lines.append(f'printf("%zu\\n", offsetof({name}, {field}));')
            expected.append(ffi.offsetof(ctype, field))
    names = [name for name in dir(lib) if isinstance(getattr(lib, name), int)]
    for name in names:
        lines.append(f'printf("%lld\\n", (long long)({name}));')
        expected.append(getattr(lib, name))
    assert len(names) > 40 and sum(1 for _ in structs()) > 12
    source = tmp_path / "layout.c"
    source.write_text('#include <stdio.h>\n#include "native.h"\nint main(void) {\n' + "\n".join(lines) + "\nreturn 0;\n}\n")
    program = tmp_path / "layout"
    subprocess.run([*compiler, "-std=c11", *(f"-I{path}" for path in INCLUDES), str(source), "-o", str(program)], check=True)
    actual = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout.split()
    assert list(map(int, actual)) == expected


def test_every_function_is_there():
    text = re.sub(r"/\*.*?\*/", "", (ROOT / "include" / "tilefold.h").read_text(), flags=re.DOTALL)
    names = set(re.findall(r"TILEFOLD_API[^;(]*?\b(tilefold_\w+)\(", text))
    assert len(names) > 30
    for name in names:
        assert getattr(lib, name) is not None


def test_the_version_is_the_headers():
    text = (ROOT / "include" / "tilefold.h").read_text()
    parts = [re.search(rf"#define TILEFOLD_VERSION_{part} (\d+)", text)[1] for part in ("MAJOR", "MINOR", "PATCH")]
    assert tilefold.__version__ == ".".join(parts)


def test_what_make_binding_cuts():
    pytest.importorskip("cffi.api")
    spec = importlib.util.spec_from_file_location("make_binding", ROOT / "python" / "make_binding.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.declarations("#ifdef __cplusplus\nextern \"C\" {\n#endif\n#define A 3 /* three */\n#define B (1 + \\\n  2)\n"
                               "// a line\nstatic inline int f(int x) { return x; }\nTILEFOLD_API int g(void);\n"
                               "typedef struct s { _Atomic int x[A]; } s;\n")
    assert text.split() == "#define A 3 int g(void); typedef struct s { int x[A]; } s;".split()


def test_it_needs_no_compiled_module():
    """py3-none-PLATFORM: nothing in the package is compiled against one Python."""
    loaded = [module.__file__ for name, module in list(sys.modules.items()) if name.startswith("tilefold.")]
    assert loaded and all(path.endswith(".py") for path in loaded)
