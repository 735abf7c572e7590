# SPDX-License-Identifier: MIT
"""Convolution in bounded memory.

    y = tilefold.conv2d(x, w, padding=1, scratch="64KiB")

Convolutions and transposed convolutions of 1, 2 and 3 spatial axes, computed without ever using more scratch memory than allowed, with
PyTorch's argument order and meaning, on NumPy arrays, PyTorch tensors and whatever speaks DLPack.
"""

from ._errors import LimitTooSmall
from ._functions import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from ._library import Device, devices
from ._library import version as __version__
from ._plan import PackedWeight, Plan, plan

__all__ = ["Device", "LimitTooSmall", "PackedWeight", "Plan", "__version__", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
           "conv_transpose2d", "conv_transpose3d", "devices", "plan"]

for _public in (Device, LimitTooSmall, PackedWeight, Plan):
    _public.__module__ = __name__
