# SPDX-License-Identifier: MIT
"""A problem as an ncnn model of one layer."""
import pathlib
import tempfile

import ncnn
import numpy as np

# Where ncnn's parameters have the sizes of an axis, the innermost first.
KERNEL, DILATION, STRIDE = (1, 11, 21), (2, 12, 22), (3, 13, 23)
PAD_BEGIN, PAD_END, OUTPUT_PADDING = (4, 14, 24), (15, 16, 17), (18, 19, 20)


def layer_name(problem):
    stem = ("Deconvolution" if problem.transposed else "Convolution") + ("DepthWise" if problem.groups > 1 else "")
    return stem, stem + {1: "1D", 2: "", 3: "3D"}[problem.rank]


def write_model(problem, weight, layer, rank, folder):
    def axes(places, values, missing):
        return zip(places, reversed([missing] * (rank - problem.rank) + values))

    parameters = {0: problem.outputs, 5: 0, 6: weight.size}
    if problem.groups > 1:
        parameters[7] = problem.groups
    for places, values, missing in ((KERNEL, problem.kernel, 1), (DILATION, problem.dilation, 1),
                                    (STRIDE, problem.stride, 1), (PAD_BEGIN, problem.padding, 0),
                                    (PAD_END, problem.padding, 0)):
        parameters.update(axes(places, values, missing))
    if problem.transposed:
        parameters.update(axes(OUTPUT_PADDING, problem.output_padding, 0))
        # ncnn has output channels before input channels, within each group.
        weight = weight.reshape(problem.groups, problem.inputs // problem.groups, -1, *problem.kernel).swapaxes(1, 2)
    words = " ".join(f"{place}={value}" for place, value in sorted(parameters.items()))
    (folder / "one.param").write_text(f"7767517\n2 2\nInput in 0 1 in\n{layer} one 1 1 in out {words}\n")
    (folder / "one.bin").write_bytes(bytes(4) + np.ascontiguousarray(weight).tobytes())  # four zeros: fp32 follows


def load(net, problem, weight, layer, rank):
    """Loads the model into net, whose options are set; whether that went well."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_model(problem, weight, layer, rank, folder)
        return not net.load_param(str(folder / "one.param")) and not net.load_model(str(folder / "one.bin"))


def mats(problem, tensor, rank):
    """The images of a tensor in channels-first: a Mat has no batch."""
    images = tensor.reshape(problem.batch, problem.inputs, *[1] * (rank - problem.rank), *problem.spatial)
    # A clone has its channels 16 bytes aligned, as ncnn wants them: of a NumPy array's own it makes NaN on Vulkan.
    return [ncnn.Mat(np.ascontiguousarray(image)).clone() for image in images]
