# SPDX-License-Identifier: MIT
"""A model's convolution modules swapped for bounded ones, in place and back.

A module becomes one of another class, a subclass of its own with another forward(): it stays the same object, with the same
parameters, hooks, and names in state_dict(). torch.nn.utils.parametrize does the same.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Callable, Iterator, List, Optional, Tuple, Type, TypeVar

import torch
from torch import Tensor, nn

from .._functions import Scratch
from .._problem import parse_bytes
from ._functions import check_tensor, convolve, options
from ._operator import Options, forget_packed

Model = TypeVar("Model", bound=nn.Module)
Only = Optional[Callable[[str, nn.Module], bool]]

#: Class, spatial axes, transposed.
KINDS: Tuple[Tuple[Type[nn.Module], int, bool], ...] = (
    (nn.Conv1d, 1, False), (nn.Conv2d, 2, False), (nn.Conv3d, 3, False),
    (nn.ConvTranspose1d, 1, True), (nn.ConvTranspose2d, 2, True), (nn.ConvTranspose3d, 3, True))

_OPTIONS, _KEEP = "tilefold_options", "tilefold_keep_packed"  # attributes of a swapped module


def kind_of(module: nn.Module) -> Optional[Tuple[Type[nn.Module], int, bool]]:
    """What of KINDS a module is; None for others."""
    return next((kind for kind in KINDS if isinstance(module, kind[0])), None)


class _Bounded:
    """What a swapped module has before its own class."""

    _original: Type[nn.Module]

    def forward(self: Any, input: Tensor, output_size: Any = None) -> Tensor:
        _, rank, transposed = kind_of(self)  # type: ignore[misc]
        padding, output_padding = self.padding, 0
        if transposed:
            output_padding = self._output_padding(input, output_size, self.stride, self.padding, self.kernel_size, rank, self.dilation)
        elif output_size is not None:
            raise TypeError("a convolution takes no output_size")
        elif self.padding_mode != "zeros":  # as torch does: padded first, which is a copy of the input
            padding = 0
            input = nn.functional.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        keep = getattr(self, _KEEP) and not self.training
        return convolve(rank, transposed, input, self.weight, self.bias, self.stride, padding, output_padding, self.groups,
                        self.dilation, keep, getattr(self, _OPTIONS))

    def extra_repr(self: Any) -> str:
        return f"{super().extra_repr()}, scratch={getattr(self, _OPTIONS).scratch}"  # type: ignore[misc]

    def __reduce__(self) -> Any:
        return _unpickle, (self._original,), self.__dict__


@functools.lru_cache(maxsize=None)
def _bounded_class(original: Type[nn.Module]) -> Type[nn.Module]:
    return type(f"Bounded{original.__name__}", (_Bounded, original), {"_original": original, "__module__": __name__})


def _unpickle(original: Type[nn.Module]) -> nn.Module:
    made: nn.Module = object.__new__(_bounded_class(original))
    return made


def _check(name: str, module: nn.Module) -> None:
    """TypeError where a module would compute something else once it is swapped."""
    cls, _, _ = kind_of(module)  # type: ignore[misc]
    why = None
    if isinstance(module, nn.modules.lazy.LazyModuleMixin):
        why = "has no sizes yet: call the model once"
    elif any(getattr(type(module), method, None) is not getattr(cls, method, None) for method in ("forward", "_conv_forward")):
        why = "has a forward() of its own"
    if why is not None:
        raise TypeError(f"{name or 'the model'}, a {type(module).__name__}, {why}; leave it out with only=lambda name, module: ...")
    check_tensor(f"{name}.weight" if name else "weight", module.weight)  # type: ignore[arg-type]


def _convolutions(model: nn.Module, only: Only) -> List[Tuple[str, nn.Module]]:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}, not a torch.nn.Module")
    return [(name, module) for name, module in model.named_modules()
            if kind_of(module) is not None and (only is None or only(name, module))]


def _swap(module: nn.Module, options_: Options, keep_packed: bool) -> None:
    if not isinstance(module, _Bounded):
        module.__class__ = _bounded_class(type(module))
    module.__dict__[_OPTIONS], module.__dict__[_KEEP] = options_, keep_packed
    forget_packed(module.weight)  # type: ignore[arg-type]


def _swap_back(module: nn.Module) -> None:
    if isinstance(module, _Bounded):
        module.__class__ = module._original
        del module.__dict__[_OPTIONS], module.__dict__[_KEEP]
        forget_packed(module.weight)  # type: ignore[arg-type]


def convert(model: Model, *, scratch: Scratch = "16MiB", device: str = "cpu", threads: Optional[int] = None, algorithm: str = "auto",
            math: str = "exact", prepack: bool = True, keep_packed: bool = True, only: Only = None) -> Model:
    """Swaps the convolutions of a model, in place, for such that take at most `scratch` bytes each, and returns the model.

    Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d and ConvTranspose3d stay the objects that they are, with their
    parameters and hooks, and state_dict() is as before: what changes is the class, to a subclass. revert() undoes it. The model
    can be trained, saved, copied and given to torch.compile.

    scratch, device, threads, algorithm, math, prepack are those of tilefold.conv2d().

    keep_packed: in eval() each weight is packed once for the shape of its last input, and kept so, as long as the weight lives: its own
    size once more (twice, for float16 and bfloat16; report() has the figure). It is packed anew when PyTorch counts a change of the
    weight, as from an optimizer or load_state_dict(). Changes that PyTorch does not count (through weight.data, or a NumPy array of the
    same memory) are not seen: give keep_packed=False, or call convert() again. Weights shared with other processes are not kept.

    padding_mode other than "zeros" pads by torch.nn.functional.pad() first, as PyTorch does, which copies the input.

    only(name, module) says which convolutions to swap. TypeError, before anything is swapped, for one that is of another type than
    float32, float16 or bfloat16, on another device than the CPU, or of a subclass with a forward() of its own.

    >>> import torch, tilefold.torch
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    >>> tilefold.torch.convert(model, scratch="64KiB")
    Sequential(
      (0): BoundedConv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), scratch=64KiB)
      (1): ReLU()
    )
    """
    parse_bytes(scratch)  # an error now rather than in a forward()
    options_ = options(scratch, device, threads, algorithm, math, prepack)
    found = _convolutions(model, only)
    for name, module in found:
        if not isinstance(module, _Bounded):
            _check(name, module)
    for _, module in found:
        _swap(module, options_, keep_packed and prepack)
    return model


def revert(model: Model) -> Model:
    """Undoes convert(), in place, and returns the model.

    >>> import torch, tilefold.torch
    >>> tilefold.torch.revert(tilefold.torch.convert(torch.nn.Conv1d(3, 8, 3)))
    Conv1d(3, 8, kernel_size=(3,), stride=(1,))
    """
    for _, module in _convolutions(model, None):
        _swap_back(module)
    return model


@contextlib.contextmanager
def bounded(model: Model, *, scratch: Scratch = "16MiB", **arguments: Any) -> Iterator[Model]:
    """convert() for as long as a block runs. Arguments are convert()'s; afterwards every module is what it was, converted or not.

    >>> import torch, tilefold.torch
    >>> model = torch.nn.Conv1d(1, 1, 3)
    >>> with tilefold.torch.bounded(model, scratch="8KiB"):
    ...     model(torch.ones(1, 1, 5)).shape
    torch.Size([1, 1, 3])
    >>> type(model).__name__
    'Conv1d'
    """
    before = [(module, module.__dict__.get(_OPTIONS), module.__dict__.get(_KEEP)) for _, module in _convolutions(model, None)]
    try:
        yield convert(model, scratch=scratch, **arguments)
    finally:
        for module, options_, keep in before:
            if options_ is None:
                _swap_back(module)
            else:
                _swap(module, options_, bool(keep))
