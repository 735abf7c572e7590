# SPDX-License-Identifier: MIT
"""One problem through ncnn on a Vulkan device: seconds from arrays in host memory to arrays in host memory, and whether the
result is right. Run by compare.py; its one argument is a request, the last line of its output the answer, both JSON."""
import json
import sys
import time

import ncnn
import numpy as np

import ncnn_model
import suite

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
    stem, layer = ncnn_model.layer_name(problem)
    if on_vulkan(layer):
        return layer, problem.rank
    if problem.rank == 1 and on_vulkan(stem):
        return stem, 2
    raise NotSupported(f"it has no {layer} on Vulkan")


def load(problem, weight, request):
    layer, rank = choose_layer(problem)
    net = ncnn.Net()
    net.set_vulkan_device(find_device(request["device"], request["device_place"]))
    options = net.opt
    options.use_vulkan_compute = True
    options.use_fp16_packed = options.use_fp16_storage = request["half"]
    options.use_fp16_arithmetic = options.use_bf16_storage = options.use_bf16_packed = False
    if not ncnn_model.load(net, problem, weight, layer, rank):
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
    mats = ncnn_model.mats(problem, tensor, rank)
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
