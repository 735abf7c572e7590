# SPDX-License-Identifier: MIT
"""Where does tissue change in a head? Four 7x7x7 filters over a whole 3-D image, whose unfold would be 12 GB.

    pip install -r requirements.txt torch; pip install --no-deps nilearn
    python head_volume.py [head.nii.gz]

The filters are derivatives of a Gaussian along the three axes, and its Laplacian; no weight is learnt. Writes head_volume.png: a slice in
the middle, the length of the gradient, and the Laplacian, of three directions. Without a file it takes the MNI152 template that nilearn
ships. The last engine is PyTorch without oneDNN, which unfolds (as in float64, and where oneDNN is not built in); it may have 8 GiB.
"""

import gzip
import pathlib

import compare
import numpy
from PIL import Image

KERNEL, SIGMA = 7, 1.5
UNFOLD_LIMIT_BYTES = 8 << 30
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 512: "u2"}


def read_nifti(path):
    """The voxels of a NIfTI-1 file, (depth, height, width), from 0 to 1. Its header of 348 bytes has the sizes at 40, the type at 70 and
    the offset of the voxels at 108."""
    data = pathlib.Path(path).read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    order = "<" if int.from_bytes(data[:4], "little") == 348 else ">"
    sizes = numpy.frombuffer(data, order + "i2", 8, 40)
    kind = TYPES[int(numpy.frombuffer(data, order + "i2", 1, 70)[0])]
    offset = int(numpy.frombuffer(data, order + "f4", 1, 108)[0])
    shape = tuple(int(size) for size in sizes[1:4])
    voxels = numpy.frombuffer(data, order + kind, int(numpy.prod(shape)), offset).reshape(shape[::-1]).astype("f4")
    return voxels / max(1e-30, voxels.max())


def volume_of(arguments):
    path = arguments.head or compare.file_of_package("nilearn", "datasets/data/mni_icbm152_t1*.nii.gz", "nilearn")
    return numpy.ascontiguousarray(read_nifti(path)[None, None, :arguments.slices])


def filters():
    """(4, 1, 7, 7, 7)."""
    at = numpy.arange(KERNEL) - KERNEL // 2
    bell = numpy.exp(-at**2 / (2 * SIGMA**2))
    bell /= bell.sum()
    first, second = -at / SIGMA**2 * bell, (at**2 / SIGMA**4 - 1 / SIGMA**2) * bell
    second -= bell * second.sum()  # a constant has no curvature

    def product(z, y, x):
        return z[:, None, None] * y[:, None] * x

    laplacian = product(second, bell, bell) + product(bell, second, bell) + product(bell, bell, second)
    derivatives = [product(first, bell, bell), product(bell, first, bell), product(bell, bell, first)]
    return numpy.stack([*derivatives, laplacian])[:, None].astype("f4")


def by_torch(arguments, job):
    import torch
    volume, weight = torch.from_numpy(volume_of(arguments)), torch.from_numpy(filters())
    job.start()
    return torch.nn.functional.conv3d(volume, weight, padding=KERNEL // 2).numpy()


def by_unfolding(arguments, job):
    import resource

    import torch
    volume, weight = torch.from_numpy(volume_of(arguments)), torch.from_numpy(filters())
    with open("/proc/self/statm") as sizes:
        taken = int(sizes.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + UNFOLD_LIMIT_BYTES,) * 2)
    job.start()
    with torch.backends.mkldnn.flags(enabled=False):
        return torch.nn.functional.conv3d(volume, weight, padding=KERNEL // 2).numpy()


def by_tilefold(arguments, job):
    import tilefold
    volume, weight = volume_of(arguments), filters()
    plan = tilefold.plan("conv3d", volume.shape, weight.shape, padding=KERNEL // 2, scratch=arguments.scratch)
    print(f"the unfold would be {plan.full_unfold_bytes / 1e9:.1f} GB; the plan's scratch is {plan.scratch_bytes / 1024:.0f} KiB")
    job.start()
    return tilefold.conv3d(volume, weight, padding=KERNEL // 2, scratch=arguments.scratch, progress=True)


def picture(volume):
    """Its slices in the middle, of the three directions, beside each other, from black to white."""
    slices = [volume.take(volume.shape[axis] // 2, axis)[::-1] for axis in range(3)]
    height = max(one.shape[0] for one in slices)
    row = numpy.concatenate([numpy.pad(one, ((0, height - one.shape[0]), (0, 6))) for one in slices], 1)
    return row / max(1e-30, row.max()) * 255


def show(arguments, found):
    gradient, laplacian = numpy.sqrt((found[0, :3]**2).sum(0)), numpy.abs(found[0, 3])
    rows = numpy.concatenate([picture(one) for one in (volume_of(arguments)[0, 0], gradient, laplacian)])
    Image.fromarray(rows.astype("u1")).save(arguments.out / "head_volume.png")
    print(f"\nvoxels, gradient, Laplacian: {arguments.out / 'head_volume.png'}")


if __name__ == "__main__":
    parser = compare.parser(__doc__)
    parser.add_argument("head", nargs="?", help="a NIfTI-1 file, .nii or .nii.gz")
    parser.add_argument("--slices", type=int, help="take only so many of its slices")
    compare.main(parser, {"torch": by_torch, "tilefold": by_tilefold, "torch without oneDNN": by_unfolding}, show)
