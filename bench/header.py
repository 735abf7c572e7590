# SPDX-License-Identifier: MIT
"""The enumerations and structs of a C header, read from its text, so that nothing here can drift from what it says.

Understands what include/tilefold.h is written in: one declaration a statement, no bit fields, no nested definitions.
"""
import ctypes
import re

SCALARS = {"bool": ctypes.c_bool, "char": ctypes.c_char, "float": ctypes.c_float, "double": ctypes.c_double,
           "size_t": ctypes.c_size_t, "uint8_t": ctypes.c_uint8,
           "int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "int64_t": ctypes.c_int64, "uint64_t": ctypes.c_uint64}


class Header:
    """constants: the values of enumerators and plain #defines by name; types: ctypes by the names of enums and structs."""

    def __init__(self, path):
        text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", path.read_text(), flags=re.DOTALL)
        self.constants = {name: int(value) for name, value in re.findall(r"#define\s+(\w+)\s+(\d+)\s*\n", text)}
        functions = re.findall(r"typedef\s+[\w\s*]+\(\*(\w+)\)", text)
        self.types = SCALARS | dict.fromkeys(functions, ctypes.c_void_p)
        kinds = {"enum": self.read_enum, "struct": self.read_struct}
        for kind, body, name in re.findall(r"typedef\s+(enum|struct)\s+\w+\s*\{(.*?)\}\s*(\w+)\s*;", text, flags=re.DOTALL):
            kinds[kind](name, body)

    def read_enum(self, name, body):
        value = -1
        for enumerator in filter(None, map(str.strip, body.split(","))):
            key, _, given = map(str.strip, enumerator.partition("="))
            value = int(given, 0) if given else value + 1
            self.constants[key] = value
        self.types[name] = ctypes.c_int

    def read_struct(self, name, body):
        fields = [field for line in filter(None, map(str.strip, body.split(";"))) for field in self.read_fields(line)]
        self.types[name] = type(name, (ctypes.Structure,), {"_fields_": fields})

    def read_fields(self, line):
        """The fields of one declaration: `int64_t batch, spatial[3]`, `const void *input`, `bool (*run)(void *user)`."""
        function = re.match(r"[\w\s*]+\(\*(\w+)\)\s*\(", line)
        if function:
            return [(function[1], ctypes.c_void_p)]
        base, declarators = re.match(r"(?:const\s+)?(\w+)\s*(.*)", line, flags=re.DOTALL).groups()
        return [self.read_declarator(base, declarator.strip()) for declarator in declarators.split(",")]

    def read_declarator(self, base, declarator):
        pointer, name, sizes = re.fullmatch(r"(\**)\s*(\w+)\s*((?:\[\w+\])*)", declarator).groups()
        kind = ctypes.c_void_p if pointer else self.types[base]
        for size in reversed(re.findall(r"\[(\w+)\]", sizes)):
            kind = kind * (self.constants[size] if size in self.constants else int(size))
        return name, kind
