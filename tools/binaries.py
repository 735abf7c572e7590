# SPDX-License-Identifier: MIT
"""What a shared library says of itself: ELF, PE and Mach-O, 64-bit and little-endian.

Sources: the System V ABI and the LSB's symbol versioning; Microsoft's "PE Format"; Apple's <mach-o/loader.h> and <mach-o/nlist.h>.
"""

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Library:
    machine: str  # x86_64 or aarch64
    exports: frozenset  # names, without Mach-O's leading underscore
    needs: tuple  # names of libraries
    system: str  # the newest glibc whose symbols it uses, or the oldest macOS that it is for; "" where there is no such thing


def read(data):
    if data[:4] == b"\x7fELF":
        return _read_elf(data)
    if data[:2] == b"MZ":
        return _read_pe(data)
    if data[:4] == b"\xcf\xfa\xed\xfe":
        return _read_mach_o(data)
    raise ValueError(f"not a library of a known kind: it begins with {data[:4]!r}")


def _string(data, at):
    return data[at:data.index(b"\0", at)].decode()


def _records(form, data, at, count):
    size = struct.calcsize(form)
    return [struct.unpack_from(form, data, at + size * i) for i in range(count)]


# ------------------------------------------------------------------------------------------------------------- ELF

_DYNAMIC, _NEEDED, _VERNEED, _DYNSYM = 6, 1, 0x6ffffffe, 11


def _read_elf(data):
    machine, = struct.unpack_from("<H", data, 18)
    at, = struct.unpack_from("<Q", data, 40)
    count, = struct.unpack_from("<H", data, 60)
    # name, type, flags, address, offset, size, link, info, alignment, size of an entry
    sections = _records("<IIQQQQIIQQ", data, at, count)
    exports, needs, versions = set(), [], []
    for _, kind, _, _, offset, size, link, entries, _, _ in sections:
        strings = sections[link][4] if link < len(sections) else 0
        if kind == _DYNSYM:
            for name, info, _, section, _, _ in _records("<IBBHQQ", data, offset, size // 24):
                if section != 0 and info >> 4 in (1, 2):  # defined; global or weak
                    exports.add(_string(data, strings + name))
        elif kind == _DYNAMIC:
            needs += [_string(data, strings + value) for tag, value in _records("<qQ", data, offset, size // 16) if tag == _NEEDED]
        elif kind == _VERNEED:
            versions += _needed_versions(data, offset, strings, entries)
    newest = max((tuple(map(int, text[6:].split("."))) for text in versions if text.startswith("GLIBC_")), default=())
    return Library({62: "x86_64", 183: "aarch64"}.get(machine, str(machine)), frozenset(exports), tuple(needs),
                   ".".join(map(str, newest)))


def _needed_versions(data, at, strings, count):
    for _ in range(count):
        _, names, _, first, following = struct.unpack_from("<HHIII", data, at)
        name_at = at + first
        for _ in range(names):
            _, _, _, name, next_name = struct.unpack_from("<IHHII", data, name_at)
            yield _string(data, strings + name)
            name_at += next_name
        at += following


# -------------------------------------------------------------------------------------------------------------- PE


def _read_pe(data):
    at, = struct.unpack_from("<I", data, 0x3c)
    machine, count = struct.unpack_from("<HH", data, at + 4)
    optional, = struct.unpack_from("<H", data, at + 20)
    first = at + 24
    (exports_at, _), (imports_at, _) = _records("<II", data, first + 112, 2)
    # of each section: where it lies in memory and in the file
    sections = [struct.unpack_from("<IIII", data, first + optional + 40 * i + 8) for i in range(count)]

    def place(address):
        for size, begin, stored, offset in sections:
            if begin <= address < begin + max(size, stored):
                return address - begin + offset
        raise ValueError(f"address {address:#x} is in no section")

    exports, needs = set(), []
    if exports_at:
        names, _, names_at = struct.unpack_from("<III", data, place(exports_at) + 24)
        exports = {_string(data, place(name)) for name, in _records("<I", data, place(names_at), names)}
    entry = place(imports_at) if imports_at else None
    while entry is not None:
        _, _, _, name, _ = struct.unpack_from("<IIIII", data, entry)
        if not name:
            break
        needs.append(_string(data, place(name)))
        entry += 20
    return Library({0x8664: "x86_64", 0xaa64: "aarch64"}.get(machine, hex(machine)), frozenset(exports), tuple(needs), "")


# ---------------------------------------------------------------------------------------------------------- Mach-O

_LINKERS = {"__dso_handle", "_mh_dylib_header"}  # every library has them
_SYMTAB, _LOAD_DYLIB, _VERSION_MIN, _BUILD_VERSION = 2, 0xc, 0x24, 0x32


def _read_mach_o(data):
    _, machine, _, _, commands = struct.unpack_from("<IIIII", data)
    exports, needs, system, at = set(), [], "", 32
    for _ in range(commands):
        command, size = struct.unpack_from("<II", data, at)
        if command == _LOAD_DYLIB:
            name, = struct.unpack_from("<I", data, at + 8)
            needs.append(_string(data, at + name))
        elif command in (_VERSION_MIN, _BUILD_VERSION):
            version, = struct.unpack_from("<I", data, at + (8 if command == _VERSION_MIN else 12))
            system = f"{version >> 16}.{version >> 8 & 255}"
        elif command == _SYMTAB:
            symbols, count, strings, _ = struct.unpack_from("<IIII", data, at + 8)
            for name, kind, _, _, _ in _records("<IBBHQ", data, symbols, count):
                # of a section, external, not private, no debugger's
                if kind & 0x0e == 0x0e and kind & 0x01 and not kind & 0xf0:
                    exports.add(_string(data, strings + name)[1:])
        at += size
    return Library({0x01000007: "x86_64", 0x0100000c: "aarch64"}.get(machine, hex(machine)), frozenset(exports - _LINKERS), tuple(needs), system)
