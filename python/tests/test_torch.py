# SPDX-License-Identifier: MIT
"""tilefold.torch against PyTorch in float64: results, gradients, whole models."""

import contextlib
import copy
import doctest
import gc
import importlib
import io
import pickle
import re
import textwrap

import numpy
import pytest
from conftest import OPS, ROOT

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
import tilefold.torch  # noqa: E402
from tilefold.torch import _gradient, _operator  # noqa: E402
from torch import nn  # noqa: E402

VARIANTS = {
    "plain": {},
    "padded": {"padding": (2, 1, 1)},
    "strided": {"stride": (2, 3, 2), "padding": 1},
    "stride over kernel": {"stride": 5},
    "dilated": {"dilation": (2, 1, 2), "padding": 1},
    "grouped": {"groups": 2, "padding": 1},
    "depthwise": {"groups": 4, "stride": 2, "padding": 1},
    "all": {"stride": (2, 1, 3), "padding": (1, 2, 0), "dilation": (1, 2, 3), "groups": 2},
    "output padding": {"stride": 3, "dilation": (2, 1, 1), "padding": (2, 1, 1), "output_padding": (1, 2, 1)},
}


def options_of(op, variant):
    """Those of a variant, for the rank of an operation; without output_padding for convolutions."""
    rank = int(op[-2])
    return {name: value[:rank] if isinstance(value, tuple) else value for name, value in VARIANTS[variant].items()
            if name != "output_padding" or "transpose" in op}


def tensors_of(op, groups=1, batch=2, dtype=torch.float32, seed=0, **_):
    torch.manual_seed(seed)
    rank, inputs, outputs = int(op[-2]), 4, 8
    shape = (inputs, outputs // groups) if "transpose" in op else (outputs, inputs // groups)
    sizes, kernel = (11, 9, 8)[:rank], (3, 2, 3)[:rank]
    return [torch.randn(*shape_).to(dtype) for shape_ in ((batch, inputs, *sizes), (*shape, *kernel), (outputs,))]


def with_gradients(function, tensors, gradient, options):
    """The result, and the gradients of all tensors."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    out = function(*leaves, **options)
    out.backward(gradient.to(out.dtype) if gradient is not None else torch.ones_like(out))
    return [out.detach(), *(leaf.grad for leaf in leaves)]


def assert_within_the_bound(actual, function, tensors, gradient, options, epsilon=2.0**-24, rounding=0.0):
    """An fp32 sum of n terms is off by at most n * 2^-24 * the sum of their magnitudes. Results and gradients are sums of products, so
    their magnitudes are those of the tensors' magnitudes, and n what tensors of ones give."""
    doubles = [tensor.double() for tensor in tensors]
    for got, expected, size, terms in zip(
            actual, with_gradients(function, doubles, gradient, options),
            with_gradients(function, [one.abs() for one in doubles], gradient.abs(), options),
            with_gradients(function, [torch.ones_like(one) for one in doubles], torch.ones_like(gradient), options)):
        assert got.shape == expected.shape
        assert ((got.double() - expected).abs() <= (terms + 2) * epsilon * size + rounding * expected.abs() + 1e-30).all()


def functions_of(op):
    return getattr(tilefold.torch, op), getattr(nn.functional, op)


@pytest.mark.parametrize("variant", VARIANTS)
def test_results_and_gradients(op, variant):
    ours, theirs = functions_of(op)
    options = options_of(op, variant)
    tensors = tensors_of(op, **options)
    gradient = torch.randn(theirs(*tensors, **options).shape, dtype=torch.float64)
    for scratch in ("16MiB", "8KiB"):
        actual = with_gradients(ours, tensors, gradient, {**options, "scratch": scratch})
        assert_within_the_bound(actual, theirs, tensors, gradient, options)


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
def test_half_types(op, dtype):
    ours, theirs = functions_of(op)
    tensors = tensors_of(op, dtype=dtype)
    gradient = torch.randn(theirs(*tensors).shape).to(dtype).double()
    actual = with_gradients(ours, tensors, gradient, {})
    assert all(one.dtype == dtype for one in actual)
    assert_within_the_bound(actual, theirs, tensors, gradient, {}, rounding=torch.finfo(dtype).eps)
    mixed = [*tensors[:2], tensors[2].float()]
    assert [one.dtype for one in with_gradients(ours, mixed, gradient, {})] == [dtype, dtype, dtype, torch.float32]


@pytest.mark.parametrize("variant", ("strided", "grouped", "output padding"))
def test_second_derivatives(op, variant):
    """Of a sum of squares of gradients, as a gradient penalty has."""
    ours, theirs = functions_of(op)
    options = options_of(op, variant)

    def penalty(function, dtype):
        x, w, b = (tensor.to(dtype).requires_grad_() for tensor in tensors_of(op, **options))
        of_x, of_w = torch.autograd.grad(function(x, w, b, **options).square().sum(), (x, w), create_graph=True)
        (of_x.square().sum() + of_w.square().sum()).backward()
        return x.grad, w.grad, b.grad

    for got, expected in zip(penalty(ours, torch.float32), penalty(theirs, torch.float64)):
        assert (got.double() - expected).abs().max() <= 2e-6 * expected.abs().max()


@pytest.mark.parametrize("most", (0, 100))
@pytest.mark.parametrize("variant", ("all", "depthwise", "output padding"))
def test_weight_gradients_by_either_way(op, variant, most, monkeypatch):
    monkeypatch.setattr(_gradient, "_MOST_COLUMNS", most)
    _gradient._parts.cache_clear()
    test_results_and_gradients(op, variant)
    _gradient._parts.cache_clear()


def test_the_gradient_of_a_long_kernel():
    """Taps of which some meet only padding, more than there are columns for."""
    x, w, b = torch.randn(2, 2, 50), torch.randn(4, 2, 40), torch.randn(4)
    for kernel, padding in ((40, 0), (40, 30), (9, 60)):
        tensors, options = (x, w[..., :kernel], b), {"padding": padding, "dilation": 1}
        gradient = torch.randn(nn.functional.conv1d(*tensors, **options).shape, dtype=torch.float64)
        actual = with_gradients(tilefold.torch.conv1d, tensors, gradient, options)
        assert_within_the_bound(actual, nn.functional.conv1d, tensors, gradient, options)
    far = torch.randn(1, 2, 4), torch.randn(4, 2, 9), b  # taps that meet nothing but padding
    options = {"dilation": 5, "padding": 20, "stride": 5}
    gradient = torch.randn(nn.functional.conv1d(*far, **options).shape, dtype=torch.float64)
    actual = with_gradients(tilefold.torch.conv1d, far, gradient, options)
    assert_within_the_bound(actual, nn.functional.conv1d, far, gradient, options)
    assert (actual[2] == 0).any()


@pytest.mark.parametrize("needed", (0, 1, 2))
def test_only_the_gradients_that_are_wanted(needed):
    tensors = tensors_of("conv2d")
    tensors[needed].requires_grad_()
    tilefold.torch.conv2d(*tensors).sum().backward()
    assert [tensor.grad is not None for tensor in tensors] == [number == needed for number in range(3)]


def test_tensors_of_any_strides():
    x, w, _ = tensors_of("conv2d")
    expected = nn.functional.conv2d(x, w)
    for view in (x.transpose(2, 3).contiguous().transpose(2, 3), x.to(memory_format=torch.channels_last),
                 x.repeat(1, 1, 2, 2)[:, :, :11, :9], x.flip(2).flip(2)):
        assert torch.allclose(tilefold.torch.conv2d(view, w), expected, atol=1e-5)
    last = x.to(memory_format=torch.channels_last).requires_grad_()
    out = tilefold.torch.conv2d(last, w)
    assert out.is_contiguous(memory_format=torch.channels_last)
    out.sum().backward()  # of a gradient whose strides are 0
    assert torch.allclose(last.grad, nn.functional.conv_transpose2d(torch.ones_like(expected), w), atol=1e-5)
    assert tilefold.torch.conv3d(torch.ones(1, 2, 3, 4, 5).to(memory_format=torch.channels_last_3d),
                                 torch.ones(3, 2, 1, 2, 1)).is_contiguous(memory_format=torch.channels_last_3d)


def test_without_a_batch_and_of_none(op):
    ours, theirs = functions_of(op)
    x, w, b = tensors_of(op)
    assert torch.allclose(ours(x[0], w, b), theirs(x[0], w, b), atol=1e-5)
    leaves = [tensor.requires_grad_() for tensor in (x[:0], w, b)]
    out = ours(*leaves)
    assert out.shape == theirs(*leaves).shape
    out.sum().backward()
    assert not w.grad.any() and not b.grad.any()


def test_words_for_padding():
    x, w, b = tensors_of("conv2d")
    for word in ("same", "valid"):
        assert torch.allclose(tilefold.torch.conv2d(x, w, b, padding=word, dilation=2),
                              nn.functional.conv2d(x, w, b, padding=word, dilation=2), atol=1e-5)


def test_the_bits_are_tilefolds(op):
    tensors = tensors_of(op)
    expected = getattr(tilefold, op)(*(tensor.numpy() for tensor in tensors))
    assert numpy.array_equal(getattr(tilefold.torch, op)(*tensors, scratch="6KiB", threads=1).numpy(), expected)


def test_autocast():
    x, w, b = tensors_of("conv2d")
    x.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = tilefold.torch.conv2d(x, w, b), nn.functional.conv2d(x, w, b)
    assert ours.dtype == theirs.dtype == torch.bfloat16 and torch.allclose(ours, theirs, atol=0.1, rtol=0.02)
    ours.sum().backward()
    assert x.grad.dtype == torch.float32


def test_errors():
    x, w, b = tensors_of("conv2d")
    for arguments, error, match in (
            ((x.double(), w.double()), TypeError, "float64"), ((x, w.half()), TypeError, "float16"),
            ((x, w, b.double()), TypeError, "bias"),
            ((x.numpy(), w), TypeError, "ndarray"), ((x, w[:, :2]), ValueError, "contradict"), ((x, w[0]), ValueError, "axes"),
            ((x, w, b[:2]), ValueError, "bias"), ((x, w, None, 0), ValueError, "stride"),
            ((x, w, None, 1, "full"), ValueError, "padding"),
            ((x[..., :1], w), RuntimeError, "larger")):
        with pytest.raises(error, match=match):
            tilefold.torch.conv2d(*arguments)
    with pytest.raises(tilefold.LimitTooSmall) as raised:
        tilefold.torch.conv2d(x, w, scratch=100)
    assert raised.value.bytes_needed > 100
    with pytest.raises(TypeError, match="tilefold.torch"):  # the other door says where this one is
        tilefold.conv2d(x.clone().requires_grad_(), w)
    with pytest.raises(TypeError, match="CPU"):
        tilefold.torch.conv2d(_Elsewhere(x), w)


class _Elsewhere(torch.Tensor):
    """A tensor that says that it is on a GPU: none is needed to see what is said then."""

    @staticmethod
    def __new__(cls, tensor):
        return torch.Tensor._make_subclass(cls, tensor)

    @property
    def device(self):
        return torch.device("cuda:0")


# ------------------------------------------------------------------------------------------- torch.library, torch.compile


def operator_arguments(transposed):
    x, w, b = tensors_of("conv_transpose2d" if transposed else "conv2d", groups=2)
    options = "16MiB", "cpu", None, "auto", "exact", True
    tensors = [tensor.requires_grad_() for tensor in (x, w, b)]
    convolution = [*tensors, [2, 1], [1, 0, 2, -1], [1, 2], 2, transposed, False, *options]
    small = torch.randn(2, 8, 5, 7, requires_grad=True)
    weight = [x.detach().requires_grad_(), small, [2, 3], [2, 1], [1, 0], [1, 1], 2, *options]
    return convolution, weight


@pytest.mark.parametrize("transposed", (False, True))
def test_the_operators_are_sound(transposed):
    convolution, weight = operator_arguments(transposed)
    torch.library.opcheck(_operator.convolution, convolution)
    torch.library.opcheck(_operator.convolution_weight, weight)
    assert torch.ops.tilefold.convolution.default is not None


@pytest.mark.parametrize("backend", ("eager", "aot_eager"))
@pytest.mark.parametrize("dynamic", (False, True))
def test_compile(op, backend, dynamic):
    torch._dynamo.reset()
    function = getattr(tilefold.torch, op)
    options = {"stride": 2, "padding": 1}

    def compute(x, w, b):
        return function(x, w, b, scratch="32KiB", **options).relu()

    compiled = torch.compile(compute, fullgraph=True, backend=backend, dynamic=dynamic)
    for batch in (2, 3):
        tensors = tensors_of(op, batch=batch)
        expected = with_gradients(compute, tensors, None, {})
        for got, wanted in zip(with_gradients(compiled, tensors, None, {}), expected):
            assert torch.equal(got, wanted)


# ------------------------------------------------------------------------------------------------------------ models


class Block(nn.Module):
    """ResNet's basic block (He et al. 2015)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.down = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + self.down(x)).relu()


def resnet18():
    stages = [Block(inputs, outputs, stride) for inputs, outputs, stride in (
        (64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1))]
    return nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1), *stages,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


class UNet(nn.Module):
    """Two levels of a U-Net of any rank (Ronneberger et al. 2015), down by strides, up by transposed convolutions."""

    def __init__(self, rank):
        super().__init__()
        conv, up = (getattr(nn, f"{name}{rank}d") for name in ("Conv", "ConvTranspose"))
        self.first = conv(1, 8, 3, padding="same", padding_mode="reflect")
        self.down1 = conv(8, 16, 3, 2, 1, padding_mode="circular")
        self.down2 = conv(16, 32, 3, 2, 1, padding_mode="replicate")
        self.middle = conv(32, 32, 3, padding=2, dilation=2, groups=4)
        self.up2, self.up1 = up(32, 16, 2, 2), up(16, 8, 3, 2, 1)
        self.merge2, self.last = conv(32, 16, 3, padding="same"), conv(16, 1, 1, padding="valid")

    def forward(self, x):
        one = self.first(x).relu()
        two = self.down1(one).relu()
        three = self.middle(self.down2(two).relu()).relu()
        two = self.merge2(torch.cat((two, self.up2(three, output_size=two.shape[2:])), 1)).relu()
        return self.last(torch.cat((one, self.up1(two, output_size=one.shape[2:])), 1))


MODELS = {
    "resnet18": (resnet18, (2, 3, 64, 64), 20),
    "U-Net 1d": (lambda: UNet(1), (2, 1, 36), 8),
    "U-Net 2d": (lambda: UNet(2), (2, 1, 24, 20), 8),
    "U-Net 3d": (lambda: UNet(3), (1, 1, 12, 8, 12), 8),
}


def model_of(name):
    torch.manual_seed(3)
    make, shape, convolutions = MODELS[name]
    return make(), torch.randn(shape), convolutions


@pytest.mark.parametrize("name", MODELS)
def test_models_give_what_they_gave(name):
    """In float64 by PyTorch, in float32 by tilefold: a training step's loss and gradients, then the results in eval()."""
    model, x, convolutions = model_of(name)
    reference = copy.deepcopy(model).double()
    keys = list(model.state_dict())
    parameters = [id(parameter) for parameter in model.parameters()]
    assert tilefold.torch.convert(model, scratch="256KiB") is model
    assert sum(type(module).__name__.startswith("BoundedConv") for module in model.modules()) == convolutions
    assert list(model.state_dict()) == keys and [id(parameter) for parameter in model.parameters()] == parameters

    def step(model, x):
        out = model(x)
        out.square().mean().backward()
        return out

    expected = step(reference, x.double())
    assert (step(model, x).double() - expected).abs().max() <= 2e-5 * expected.abs().max()
    for ours, theirs in zip(model.parameters(), reference.parameters()):
        assert (ours.grad.double() - theirs.grad).abs().max() <= 1e-3 * theirs.grad.abs().max() + 1e-7
    model.eval(), reference.eval()
    expected = reference(x.double())
    for _ in range(2):  # the second with kept weights
        with torch.no_grad():
            assert (model(x).double() - expected).abs().max() <= 2e-5 * expected.abs().max()


def test_torchvisions_resnet18():
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
    torch.manual_seed(4)
    model, x = torchvision.models.resnet18().eval(), torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        expected = copy.deepcopy(model).double()(x.double())
        with tilefold.torch.bounded(model, scratch="64KiB"):
            got = model(x)
    assert (got.double() - expected).abs().max() <= 2e-5 * expected.abs().max()


@pytest.mark.parametrize("training", (False, True))
def test_a_converted_model_is_traced(training):
    torch._dynamo.reset()
    model, x, _ = model_of("U-Net 2d")
    tilefold.torch.convert(model.train(training), scratch="64KiB")
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    if training:
        compiled(x).sum().backward()
        gradients = [parameter.grad.clone() for parameter in model.parameters()]
        model.zero_grad()
        model(x).sum().backward()
        assert all(torch.equal(one, parameter.grad) for one, parameter in zip(gradients, model.parameters()))
    else:
        with torch.no_grad():
            assert torch.equal(compiled(x), model(x)) and torch.equal(compiled(x), model(x))


def test_a_converted_model_is_a_model():
    """It loads, saves, copies, pickles; hooks and parametrizations stay; converting again changes options."""
    model, x, _ = model_of("U-Net 1d")
    before = model(x)
    seen = []
    model.first.register_forward_hook(lambda *_: seen.append(1))
    nn.utils.parametrize.register_parametrization(model.middle, "weight", nn.Identity())
    tilefold.torch.convert(model, scratch="64KiB")
    assert isinstance(model.first, nn.Conv1d) and "scratch=64KiB" in repr(model)
    assert torch.allclose(model(x), before, atol=1e-5) and seen == [1]
    assert torch.allclose(copy.deepcopy(model)(x), before, atol=1e-5)
    nn.utils.parametrize.remove_parametrizations(tilefold.torch.revert(model).middle, "weight")
    tilefold.torch.convert(model)
    assert torch.allclose(model(x), before, atol=1e-5)
    model.first._forward_hooks.clear()  # a lambda cannot be pickled
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert repr(again) == repr(model) and torch.equal(again(x), model(x))
    saved = io.BytesIO()
    torch.save(model.state_dict(), saved)
    saved.seek(0)
    UNet(1).load_state_dict(torch.load(saved, weights_only=True))
    tilefold.torch.convert(model, scratch="32KiB", only=lambda name, module: name == "last")
    assert repr(model).count("scratch=32KiB") == 1
    assert "scratch" not in repr(tilefold.torch.revert(model)) and type(model.first) is nn.Conv1d
    assert set(model.first.__dict__) == set(nn.Conv1d(1, 8, 3).__dict__)


def test_bounded_leaves_all_as_it_was():
    model, x, _ = model_of("U-Net 1d")
    tilefold.torch.convert(model, scratch="64KiB", only=lambda name, module: name == "first")
    before = repr(model)
    with pytest.raises(KeyError):
        with tilefold.torch.bounded(model, scratch="32KiB") as same:
            assert same is model and repr(model).count("scratch=32KiB") == 8
            with tilefold.torch.bounded(model, scratch=None):
                assert repr(model).count("scratch=None") == 8
            assert repr(model).count("scratch=32KiB") == 8
            raise KeyError
    assert repr(model) == before


class _Standardized(nn.Conv2d):
    def forward(self, x):
        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)


class _Named(nn.Conv2d):
    pass


def test_what_cannot_be_converted():
    for wrong, match in ((nn.Conv2d(1, 1, 3, dtype=torch.float64), "float64"), (_Standardized(1, 1, 3), "forward"),
                         (nn.LazyConv2d(1, 3), "sizes")):
        model = nn.Sequential(nn.Conv2d(1, 1, 3), wrong)
        with pytest.raises(TypeError, match=f"1.*{match}"):
            tilefold.torch.convert(model)
        assert type(model[0]) is nn.Conv2d
        tilefold.torch.convert(model, only=lambda name, module: name != "1")
        assert type(model[0]) is not nn.Conv2d and type(model[1]) is type(wrong)
    with pytest.raises(TypeError, match="Module"):
        tilefold.torch.convert(lambda x: x)
    with pytest.raises(ValueError, match="scratch"):
        tilefold.torch.convert(model, scratch="much")
    named, x = _Named(1, 1, 3), torch.ones(1, 1, 5, 5)
    expected = named(x)
    assert torch.allclose(tilefold.torch.convert(named)(x), expected) and isinstance(named, _Named)
    assert isinstance(pickle.loads(pickle.dumps(named)), _Named)
    with pytest.raises(TypeError, match="output_size"):
        named(x, output_size=(3, 3))


# ----------------------------------------------------------------------------------------------------- packed weights


def packings(monkeypatch):
    """Counts what is packed to be kept."""
    counted, pack = [], _operator.NativePlan.pack
    monkeypatch.setattr(_operator.NativePlan, "pack", lambda *arguments: (counted.append(1), pack(*arguments)))
    return counted


def test_weights_are_packed_once_a_version(monkeypatch):
    module, x = tilefold.torch.convert(nn.Conv2d(8, 16, 3), scratch="1MiB"), torch.randn(1, 8, 9, 9)
    counted = packings(monkeypatch)
    module(x)
    assert not counted and module.weight.requires_grad  # in training they change
    module.eval()
    first = module(x)
    assert torch.equal(module(x), first) and len(counted) == 1
    with torch.no_grad():
        module.weight.mul_(2)
    assert torch.allclose(module(x) - module.bias[:, None, None], 2 * (first - module.bias[:, None, None]), atol=1e-5)
    assert len(counted) == 2
    module.load_state_dict({"weight": module.weight.detach() / 2, "bias": module.bias.detach()})
    assert torch.equal(module(x), first) and len(counted) == 3
    module.weight.data = 2 * module.weight.data  # other memory
    assert not torch.equal(module(x), first) and len(counted) == 4
    module.weight = nn.Parameter(module.weight.detach() / 2)  # another tensor
    assert torch.equal(module(x), first) and len(counted) == 5
    module(x[..., 1:]), module(x[..., 1:]), module(x)  # one shape at a time
    assert len(counted) == 7
    with torch.inference_mode():
        assert torch.equal(module(x), first) and len(counted) == 7


def test_kept_weights_go_with_the_model():
    gc.collect()
    before = len(_operator._kept)
    model, x = tilefold.torch.convert(nn.Sequential(nn.Conv2d(8, 16, 3), nn.Conv2d(16, 8, 3)).eval()), torch.randn(1, 8, 9, 9)
    model(x), model(x)
    assert len(_operator._kept) == before + 2
    del model
    gc.collect()
    assert len(_operator._kept) == before
    module = tilefold.torch.convert(nn.Conv2d(8, 16, 3).eval(), keep_packed=False)
    module(x)
    with torch.no_grad():
        made_in_inference = nn.Conv2d(8, 16, 3).eval()
    assert len(_operator._kept) == before
    tilefold.torch.convert(made_in_inference)(x)
    assert len(_operator._kept) == before + 1
    tilefold.torch.revert(made_in_inference)
    assert len(_operator._kept) == before


def test_weights_shared_with_other_processes():
    module, x = tilefold.torch.convert(nn.Conv2d(8, 16, 3).eval()), torch.randn(1, 8, 9, 9)
    module.weight.share_memory_()
    first = module(x)
    module.weight.data.mul_(2)  # not counted, as what another process does
    assert not torch.equal(module(x), first)


def test_weights_made_in_inference_mode():
    with torch.inference_mode():
        module = tilefold.torch.convert(nn.Conv2d(8, 16, 3).eval())
        x = torch.randn(1, 8, 9, 9)
        first = module(x)
        module.weight.mul_(2)
        assert not torch.equal(module(x), first)


# -------------------------------------------------------------------------------------------------------------- report


def test_report_computes_nothing():
    model, x, convolutions = model_of("resnet18")
    model.train()
    state = copy.deepcopy(model.state_dict())
    found = tilefold.torch.report(model, x, scratch="64KiB")
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert len(found.rows) == convolutions and not model[0]._forward_pre_hooks
    shapes = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda module, _, out, name=name: shapes.update({name: tuple(out.shape)}))
    model(x)
    for row in found.rows:
        plan = row.plan
        assert row.output_shape == shapes[row.name] and row.weight_shape == tuple(model.get_parameter(row.name + ".weight").shape)
        assert row.full_unfold_bytes == plan.full_unfold_bytes and row.scratch_bytes + plan.plan_bytes <= 65536
    text = str(found)
    assert text.count("\n") == len(found.rows) + 1 and "4.conv1" in text and found.rows[0].op == "conv2d"
    assert "<td>4.conv1</td>" in found._repr_html_() and "20 convolutions" in repr(found)
    assert found.full_unfold_bytes == max(row.full_unfold_bytes for row in found.rows)
    assert found.packed_weight_bytes == sum(row.packed_weight_bytes for row in found.rows)


@pytest.mark.parametrize("name", ("U-Net 1d", "U-Net 2d", "U-Net 3d"))
def test_report_knows_padding_modes_and_output_sizes(name):
    model, x, _ = model_of(name)
    plain = [row[:6] for row in tilefold.torch.report(model, x).rows]
    tilefold.torch.convert(model)
    assert [row[:6] for row in tilefold.torch.report(model, x).rows] == plain
    assert plain[0][4] == (x.shape[0], 8, *x.shape[2:]) and plain[-2][4][2:] == x.shape[2:]


def test_report_of_what_no_memory_holds():
    found = tilefold.torch.report(nn.Conv2d(64, 64, 3), torch.empty(1, 64, 1 << 18, 1 << 18, device="meta"))
    assert found.rows[0].full_unfold_bytes > 1 << 46 and found.scratch_bytes <= 16 << 20 and found.rows[0].name == ""
    assert "GiB" in str(found)
    assert str(tilefold.torch.report(nn.ReLU(), torch.ones(1))).count("\n") == 1


def test_report_names_the_module_of_an_error():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3))
    with pytest.raises(tilefold.LimitTooSmall, match="^0: ") as raised:
        tilefold.torch.report(model, torch.ones(1, 1, 9, 9), scratch=16)
    assert raised.value.bytes_needed > 16
    with pytest.raises(TypeError, match="^0: .*float64"):
        tilefold.torch.report(model.double(), torch.ones(1, 1, 9, 9, dtype=torch.float64))
    assert not model[0]._forward_pre_hooks


@pytest.mark.parametrize("name", ("_functions", "_modules", "_report"))
def test_examples(name):
    result = doctest.testmod(importlib.import_module(f"tilefold.torch.{name}"))
    assert result.failed == 0 and result.attempted > 0


def test_the_readmes_example():
    """Its indented block, run as it stands."""
    if not (ROOT / "README.md").exists():
        pytest.skip("no source tree")
    block = re.search(r"\n((?:    .*\n)*    import tilefold\.torch\n(?:    .*\n)*)", (ROOT / "README.md").read_text())[1]
    names = {"torch": torch, "model": nn.Conv2d(3, 4, 3), "image": torch.ones(1, 3, 9, 9)}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(textwrap.dedent(block), names)
    assert "MiB" in printed.getvalue() and names["model"].weight.grad is not None and type(names["model"]) is nn.Conv2d


def test_everything_public_is_documented():
    assert set(OPS) <= set(tilefold.torch.__all__)
    assert all(getattr(tilefold.torch, name).__doc__ for name in tilefold.torch.__all__)
