# SPDX-License-Identifier: MIT
"""The libraries that tilefold is compared with on the CPU, and tilefold itself in the same clothes.

One file a library, one line below. A file has a class Peer:

    Peer(settings)                      imports the library; ImportError where it is not there
    name                                with its version
    layouts                             those of tensors that it can take as they lie
    variants(problem, layout)           the ways it has to compute the problem; the fastest counts
    build(problem, layout, variant, tensor, weight, output)
                                        everything that is done once: a Built. tensor and output lie in the layout, weight as
                                        ONNX has it; a library that cannot write where it is told leaves output alone. Raises
                                        NotSupported where the library, or this file, has no answer to the problem
"""
import dataclasses
import importlib
import typing

NAMES = {"onnxruntime": "onnx_runtime", "openvino": "open_vino", "torch": "pytorch", "xnnpack": "xnnpack", "ncnn": "ncnn_cpu",
         "mlx": "mlx_cpu"}


class NotSupported(Exception):
    pass


@dataclasses.dataclass
class Settings:
    threads: int = 1
    math: str = "exact"        # or fast: Winograd and the like where a library lets it be chosen
    library: str = ""          # tilefold's shared library
    limit: int = 16 << 20      # tilefold's scratch limit, bytes
    isa: str = "best"          # tilefold's instruction set
    prepack: bool = True       # tilefold's weights are packed beforehand


@dataclasses.dataclass
class Built:
    run: typing.Callable       # computes the problem once
    result: typing.Callable    # the output as a NumPy array in the layout
    copied_bytes: int = 0      # of tensors that the library allocated for itself when it was built
    output_bytes: int = 0      # of outputs that it allocates while it runs
    planned_bytes: int = 0     # that it says beforehand it will take beside the tensors, where it does
    note: str = ""             # what it chose, where it tells


def load(name, settings):
    module = "tilefold" if name == "tilefold" else NAMES[name]
    return importlib.import_module(f"peers.{module}").Peer(settings)
