# SPDX-License-Identifier: MIT
"""Convolutions of PyTorch in bounded memory: functions with gradients, and a model's modules swapped for them.

    with tilefold.torch.bounded(model, scratch="256MiB"):
        loss = model(image).sum()
        loss.backward()

    print(tilefold.torch.report(model, image))      what that takes, told before anything is computed

conv1d() to conv_transpose3d() are torch.nn.functional's, computed on the CPU in at most `scratch` bytes beside the tensors and
the packed weights, with gradients to any order; torch.compile traces them as torch.ops.tilefold.convolution. convert() and
bounded() swap a model's modules. float32, float16 and bfloat16; other types and tensors of other devices are a TypeError.

Gradients obey the limit too, and nothing is packed for a weight's: it is read from the input and from the result's gradient
where they lie. torch.func's transforms (grad, vmap) do not go through operators of torch.library; PyTorch says so.
"""

from ._functions import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from ._modules import bounded, convert, revert
from ._report import Report, Row, report

__all__ = ["Report", "Row", "bounded", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
           "convert", "report", "revert"]
