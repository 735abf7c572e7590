# SPDX-License-Identifier: MIT
"""tilefold's shared library, by ctypes and by its own header."""
import ctypes
import mmap
import pathlib

import header

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAYOUTS = {"channels-first": "TILEFOLD_CHANNELS_FIRST", "channels-last": "TILEFOLD_CHANNELS_LAST"}


class Error(Exception):
    pass


def pages(count):
    """Memory of its own, zeroed and page-aligned, and its address."""
    memory = mmap.mmap(-1, max(count, 1))
    return memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Library:
    def __init__(self, path):
        self.header = header.Header(ROOT / "include" / "tilefold.h")
        self.c = ctypes.CDLL(str(path))
        self.c.tilefold_version.restype = ctypes.c_char_p
        self.version = self.c.tilefold_version().decode()
        parts = (self.header.constants[f"TILEFOLD_VERSION_{part}"] for part in ("MAJOR", "MINOR", "PATCH"))
        expected = ".".join(map(str, parts))
        if self.version != expected:
            raise Error(f"{path} is version {self.version}, the header beside it {expected}")

    def constant(self, name):
        return self.header.constants[name]

    def struct(self, name, *arguments):
        """A struct set up by its _init function."""
        made = self.header.types[f"tilefold_{name}"]()
        init = getattr(self.c, f"tilefold_{name}_init_sized")
        init.restype = None
        init(ctypes.byref(made), ctypes.c_size_t(ctypes.sizeof(made)), *arguments)
        return made

    def call(self, name, *arguments):
        message = self.header.types["tilefold_message"]()
        status = getattr(self.c, f"tilefold_{name}")(*arguments, ctypes.byref(message))
        if status != self.constant("TILEFOLD_OK"):
            raise Error(message.text.decode())

    def context(self, threads, isa="best"):
        options = self.struct("context_options")
        options.threads, options.isa = threads, self.constant(f"TILEFOLD_ISA_{isa.upper()}")
        context = ctypes.c_void_p()
        self.call("context_create", ctypes.byref(options), ctypes.byref(context))
        return context

    def problem(self, problem, layout):
        made = self.struct("problem", self.constant("TILEFOLD_CONV_TRANSPOSE" if problem.transposed else "TILEFOLD_CONV"),
                           self.constant("TILEFOLD_F32"), problem.rank)
        made.batch, made.groups = problem.batch, problem.groups
        made.in_channels, made.out_channels = problem.inputs, problem.outputs
        for field, values in (("input_size", problem.spatial), ("kernel", problem.kernel), ("stride", problem.stride),
                              ("dilation", problem.dilation), ("padding_begin", problem.padding),
                              ("padding_end", problem.padding), ("output_padding", problem.output_padding)):
            getattr(made, field)[:problem.rank] = values
        self.call("problem_set_layout", ctypes.byref(made), self.constant(LAYOUTS[layout]))
        return made


class Convolution:
    """A plan with its packed weights and scratch; what runner() gives is one tilefold_execute()."""

    def __init__(self, library, context, problem, layout, arrays, settings):
        self.plan = None
        self.tensor, self.weight, self.output = arrays
        options = library.struct("plan_options")
        options.scratch_limit_bytes, options.prepack_weights = settings.limit, settings.prepack
        if settings.math != "exact":
            if not hasattr(options, "math"):
                raise Error(f"tilefold {library.version} has no other arithmetic than exact")
            options.math = library.constant(f"TILEFOLD_MATH_{settings.math.upper()}")
        self.plan = ctypes.c_void_p()
        self.destroy = library.c.tilefold_plan_destroy
        library.call("plan_create", context, ctypes.byref(library.problem(problem, layout)), ctypes.byref(options),
                     ctypes.byref(self.plan))
        self.info = library.struct("plan_info")
        library.call("plan_get_info", self.plan, ctypes.byref(self.info))
        self.planned_bytes = sum(getattr(self.info, f"{part}_bytes") for part in ("packed_weight", "scratch", "plan"))
        self.description = self.print_plan(library)
        self.keep, packed = pages(self.info.packed_weight_bytes)
        self.scratch, scratch = pages(self.info.scratch_bytes)
        if self.info.packed_weight_bytes:
            library.call("pack_weight", self.plan, ctypes.c_void_p(self.weight.ctypes.data),
                         ctypes.c_size_t(self.weight.nbytes), ctypes.c_void_p(packed),
                         ctypes.c_size_t(self.info.packed_weight_bytes))
            self.weight = None  # not needed any more
        self.execution = library.struct("execution")
        self.execution.input, self.execution.output = self.tensor.ctypes.data, self.output.ctypes.data
        self.execution.weight = self.weight.ctypes.data if self.weight is not None else None
        self.execution.packed_weight = packed
        self.execution.scratch, self.execution.scratch_bytes = scratch, self.info.scratch_bytes
        self.execution.input_bytes, self.execution.output_bytes = self.tensor.nbytes, self.output.nbytes
        self.execute = library.c.tilefold_execute

    def print_plan(self, library):
        text = ctypes.create_string_buffer(4096)
        library.c.tilefold_plan_print.restype = ctypes.c_size_t
        library.c.tilefold_plan_print(self.plan, text, ctypes.c_size_t(len(text)))
        return text.value.decode()

    def runner(self):
        execute, execution = self.execute, ctypes.byref(self.execution)

        def run():
            if execute(self.plan, execution, None):
                raise Error("tilefold_execute failed")
        return run

    def __del__(self):
        if self.plan:
            self.destroy(self.plan)
