# SPDX-License-Identifier: MIT
"""One problem through ncnn on a Vulkan device: seconds from arrays in host memory to arrays in host memory, and whether the
result is right. Run by compare.py; its one argument is a request, the last line of its output the answer, both JSON."""
import json
import pathlib
import sys
import tempfile
import time

import ncnn
import numpy as np

import suite

# Where ncnn's parameters have the sizes of an axis, the innermost first.
KERNEL, DILATION, STRIDE = (1, 11, 21), (2, 12, 22), (3, 13, 23)
PAD_BEGIN, PAD_END, OUTPUT_PADDING = (4, 14, 24), (15, 16, 17), (18, 19, 20)


class NotSupported(Exception):
    pass


def find_device(name, place):
    """The number that ncnn has for the place-th device of that name."""
    same = [i for i in range(ncnn.get_gpu_count()) if ncnn.get_gpu_info(i).device_name() == name]
    if place >= len(same):
        raise NotSupported(f"ncnn does not see the device {name}")
    return same[place]


def on_vulkan(layer):
    created = ncnn.create_layer(layer)
    return created is not None and created.support_vulkan


def choose_layer(problem):
    """A layer that runs on Vulkan, and how many spatial axes it has: the problem's, or two where it has only one."""
    stem = ("Deconvolution" if problem.transposed else "Convolution") + ("DepthWise" if problem.groups > 1 else "")
    layer = stem + {1: "1D", 2: "", 3: "3D"}[problem.rank]
    if on_vulkan(layer):
        return layer, problem.rank
    if problem.rank == 1 and on_vulkan(stem):
        return stem, 2
    raise NotSupported(f"it has no {layer} on Vulkan")


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


def load(problem, weight, request):
    layer, rank = choose_layer(problem)
    net = ncnn.Net()
    net.set_vulkan_device(find_device(request["device"], request["device_place"]))
    options = net.opt
    options.use_vulkan_compute = True
    options.use_fp16_packed = options.use_fp16_storage = request["half"]
    options.use_fp16_arithmetic = options.use_bf16_storage = options.use_bf16_packed = False
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_model(problem, weight, layer, rank, folder)
        if net.load_param(str(folder / "one.param")) or net.load_model(str(folder / "one.bin")):
            raise NotSupported(f"{layer} did not load")
    if not net.layers()[1].support_vulkan:
        raise NotSupported(f"its {layer} falls back to the CPU")
    return net, rank


def run(net, mats):
    """All images, one at a time: a Mat has no batch."""
    results = []
    for mat in mats:
        extractor = net.create_extractor()
        extractor.input("in", mat)
        failed, result = extractor.extract("out")
        if failed:
            raise NotSupported(f"extract() gave {failed}")
        results.append(result)
    return results


def check(problem, tensor, weight, result, half):
    """A few outputs, corners among them. Winograd and fp16 round more than the plain sum; what is wrong is off by far more
    than a hundredth of the root of the sum of the products' squares."""
    result = result.reshape(problem.output_shape) if result.size == np.prod(problem.output_shape) else result
    if list(result.shape) != problem.output_shape:
        raise NotSupported(f"it gives shape {list(result.shape)}, not {problem.output_shape}")
    random = np.random.default_rng(1)
    first, last = [0] * result.ndim, [size - 1 for size in result.shape]
    for index in (first, last, *(random.integers(0, result.shape).tolist() for _ in range(30))):
        expected, magnitude = problem.output_at(tensor, weight, index)
        got = float(result[tuple(index)])
        if not abs(got - expected) <= (0.05 if half else 0.01) * magnitude + 1e-6:
            raise NotSupported(f"it is wrong: {got:g}, not {expected:g} at {index}")


def measure(request, enough=0.25, least=3):
    problem = suite.parse(request["problem"])
    tensor, weight = problem.data()
    net, rank = load(problem, weight, request)
    images = tensor.reshape(problem.batch, problem.inputs, *[1] * (rank - problem.rank), *problem.spatial)
    # A clone has its channels 16 bytes aligned, as ncnn wants them: of a NumPy array's own it makes NaN on Vulkan.
    mats = [ncnn.Mat(np.ascontiguousarray(image)).clone() for image in images]
    result = np.stack([np.array(mat) for mat in run(net, mats)])  # and warms up
    check(problem, tensor, weight, result, request["half"])
    times = []
    while len(times) < least or sum(times) < enough:
        begin = time.perf_counter()
        run(net, mats)
        times.append(time.perf_counter() - begin)
    return min(times)


def main():
    try:
        answer = {"seconds": measure(json.loads(sys.argv[1]))}
    except NotSupported as reason:
        answer = {"error": str(reason)}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
