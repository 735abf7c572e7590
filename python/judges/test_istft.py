# SPDX-License-Identifier: MIT
"""The founding case: an inverse STFT of a real recording by transposed convolutions, against torch.istft in float64."""

import pathlib
import wave

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-judges")

import tilefold  # noqa: E402

RECORDING = pathlib.Path("/usr/share/sounds/alsa/Front_Center.wav")  # as make demo
pytestmark = pytest.mark.skipif(not RECORDING.is_file(), reason=f"no recording at {RECORDING} (Debian: alsa-utils)")


def read_recording():
    with wave.open(str(RECORDING)) as file:
        assert (file.getsampwidth(), file.getnchannels()) == (2, 1)
        return numpy.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768.0


def synthesis_kernels(size, window):
    """The rows of an inverse FFT, windowed: what the real and then the imaginary part of each band adds to a frame."""
    bands = numpy.eye(size // 2 + 1)
    rows = numpy.concatenate([numpy.fft.irfft(bands, size), numpy.fft.irfft(1j * bands, size)])
    return (rows * window)[:, None, :]


@pytest.mark.parametrize("size, hop", [(4096, 1024), (1024, 256), (512, 200)])
@pytest.mark.parametrize("scratch", ("16MiB", "32KiB"))
def test_a_recording(size, hop, scratch):
    sound = read_recording()
    window = torch.hann_window(size, dtype=torch.float64)
    spectrum = torch.stft(torch.from_numpy(sound), size, hop, window=window, return_complex=True)
    expected = torch.istft(spectrum, size, hop, window=window).numpy()

    parts = numpy.concatenate([spectrum.real.numpy(), spectrum.imag.numpy()])[None].astype("f4")
    kernels = synthesis_kernels(size, window.numpy()).astype("f4")
    added = tilefold.conv_transpose1d(parts, kernels, stride=hop, padding=size // 2, scratch=scratch)
    overlap = tilefold.conv_transpose1d(numpy.ones((1, 1, parts.shape[2]), "f4"), window.numpy().astype("f4")[None, None] ** 2,
                                        stride=hop, padding=size // 2, scratch=scratch)
    actual = (added / overlap)[0, 0]
    assert actual.shape == expected.shape and numpy.abs(expected).max() > 0.1
    # A quarter of the recording's own step: what comes back is the recording, to the bit.
    assert numpy.abs(actual - expected).max() < 0.25 / 32768
    assert numpy.array_equal(numpy.round(actual * 32768), numpy.round(sound[:len(actual)] * 32768))
