# SPDX-License-Identifier: MIT
"""ncnn on the CPU, fp32 throughout. Images go one at a time; outputs come from a pool that it keeps."""
import ncnn
import numpy as np

import ncnn_model
from peers import Built, NotSupported


class Peer:
    layouts = ("channels-first",)
    name = f"ncnn {ncnn.__version__}"

    def __init__(self, settings):
        self.settings = settings
        self.blobs, self.workspace = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()

    def variants(self, problem, layout):
        return ["winograd", "plain"] if self.settings.math == "fast" else ["plain"]

    def make_net(self, variant):
        net = ncnn.Net()
        options = net.opt
        options.num_threads = self.settings.threads
        options.use_vulkan_compute = False
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = options.use_bf16_packed = False
        options.use_winograd_convolution = variant == "winograd"
        options.blob_allocator, options.workspace_allocator = self.blobs, self.workspace
        return net

    def build(self, problem, layout, variant, tensor, weight, output):
        _, layer = ncnn_model.layer_name(problem)
        if ncnn.create_layer(layer) is None:
            raise NotSupported(f"it has no {layer}")
        net = self.make_net(variant)
        if not ncnn_model.load(net, problem, weight, layer, problem.rank):
            raise NotSupported(f"{layer} did not load")
        images = ncnn_model.mats(problem, tensor, problem.rank)

        def compute(image):
            extractor = net.create_extractor()
            extractor.input("in", image)
            failed, mat = extractor.extract("out")
            if failed:
                raise NotSupported(f"extract() gave {failed}")
            return mat

        def run():
            for image in images:
                compute(image)
        return Built(run, lambda: np.stack([np.array(compute(image)).reshape(problem.output_shape[1:]) for image in images]),
                     copied_bytes=tensor.nbytes, output_bytes=output.nbytes // problem.batch)
