#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/wheels.py [--output FOLDER] [PLATFORM...]: the Python package as a wheel for every platform, built on this machine by zig.

Needs, beside this Python: pip, cmake, ziglang, scikit-build-core, cffi and wheel in it, and Vulkan's headers and glslc. Each wheel is
checked: the tag, the library inside and the machine it is for, the symbols that it exports (those that the headers declare, no
more), the libraries that it needs, and the newest version of glibc or macOS that it asks for.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

import binaries

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADERS = ("include/tilefold.h", "include/tilefold_vulkan.h", "python/native.h")

# The tag of the wheel, zig's name of the target, and the libraries that it may need.
GLIBC = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
PLATFORMS = {
    "manylinux_2_28_x86_64": ("x86_64-linux-gnu.2.28", GLIBC),
    "manylinux_2_28_aarch64": ("aarch64-linux-gnu.2.28", GLIBC),
    "musllinux_1_2_x86_64": ("x86_64-linux-musl", {"libc.so"}),
    "musllinux_1_2_aarch64": ("aarch64-linux-musl", {"libc.so"}),
    "macosx_11_0_arm64": ("aarch64-macos.11.0", {"/usr/lib/libSystem.B.dylib"}),
    "macosx_11_0_x86_64": ("x86_64-macos.11.0", {"/usr/lib/libSystem.B.dylib"}),
    "win_amd64": ("x86_64-windows-gnu", None),  # any of Windows's own, by name
}
WINDOWS_OWN = re.compile(r"(kernel32|ntdll|api-ms-win-crt-[a-z]+-l1-1-0|ucrtbase)\.dll", re.IGNORECASE)


def declared():
    """The functions that the library has to export."""
    text = "".join((ROOT / header).read_text(encoding="utf-8") for header in HEADERS)
    return set(re.findall(r"^TILEFOLD_API .*?\b(tilefold_\w+)\(", text, flags=re.MULTILINE))


def build(platform, output):
    """Builds one wheel and gives it its tag; returns its path."""
    target, _ = PLATFORMS[platform]
    cmake = (f"--toolchain={ROOT}/cmake/zig.cmake", f"-DTILEFOLD_ZIG={sys.executable}", f"-DTILEFOLD_ZIG_TARGET={target}",
             "-DTILEFOLD_VULKAN=ON", "-DCMAKE_SHARED_LINKER_FLAGS=-s")
    with tempfile.TemporaryDirectory() as folder:
        run("pip", "wheel", str(ROOT), "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder,
            f"--config-settings=build-dir={ROOT}/build/wheel-{platform}", "--config-settings=install.strip=false",
            f"--config-settings=cmake.args={';'.join(cmake)}")
        (made,) = pathlib.Path(folder).glob("*.whl")
        run("wheel", "tags", "--remove", "--platform-tag", platform, str(made))
        (tagged,) = pathlib.Path(folder).glob("*.whl")
        final = output / tagged.name
        final.write_bytes(tagged.read_bytes())
    return final


def run(module, *arguments):
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.DEVNULL)


def version(text):
    return tuple(int(part) for part in text.split("."))


def check(path, platform):
    """What is wrong with a wheel, as lines."""
    _, allowed = PLATFORMS[platform]
    tag = f"py3-none-{platform}"
    if not path.name.endswith(f"-{tag}.whl"):
        yield f"its name does not end in {tag}"
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/WHEEL"))
        if f"Tag: {tag}" not in wheel.read(metadata).decode().splitlines():
            yield f"WHEEL does not say {tag}"
        libraries = [name for name in names if re.search(r"\.(so|dylib|dll)$", name)]
        expected = {"win": "tilefold_python.dll", "macosx": "libtilefold_python.dylib"}.get(platform.split("_")[0], "libtilefold_python.so")
        if libraries != [f"tilefold/{expected}"]:
            yield f"its libraries are {libraries}, not tilefold/{expected}"
            return
        library = binaries.read(wheel.read(libraries[0]))
    machine = "aarch64" if platform.endswith(("aarch64", "arm64")) else "x86_64"
    if library.machine != machine:
        yield f"its library is for {library.machine}"
    if library.exports != declared():
        yield f"exported and not declared, or the reverse: {sorted(library.exports ^ declared())}"
    foreign = [name for name in library.needs
               if not (WINDOWS_OWN.fullmatch(name) if allowed is None else name in allowed)]
    if foreign or not library.needs:
        yield f"needs {foreign or 'nothing, not even a C library'}"
    for name, limit in (("manylinux", r"manylinux_(\d+_\d+)"), ("macosx", r"macosx_(\d+_\d+)")):
        if platform.startswith(name):
            newest = re.match(limit, platform)[1].replace("_", ".")
            if not library.system or version(library.system) > version(newest):
                yield f"asks for {library.system or 'no version at all'}, not at most {newest}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build" / "wheels")
    parser.add_argument("--check-only", action="store_true", help="check the wheels that are there")
    parser.add_argument("platforms", nargs="*", metavar="PLATFORM", help=", ".join(PLATFORMS))
    arguments = parser.parse_args()
    if unknown := set(arguments.platforms) - set(PLATFORMS):
        parser.error(f"no such platform: {', '.join(sorted(unknown))}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    failed = False
    for platform in arguments.platforms or PLATFORMS:
        if arguments.check_only:
            (path,) = arguments.output.glob(f"*-{platform}.whl")
        else:
            path = build(platform, arguments.output)
        faults = list(check(path, platform))
        failed = failed or bool(faults)
        print(f"{path.name}: {'; '.join(faults) or 'as it should be'}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
