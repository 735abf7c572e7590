# SPDX-License-Identifier: MIT
"""A ceiling on the memory of processes, caches of files included, and files that are in no cache. For the tests and bench/."""

import ctypes
import mmap
import os
import subprocess


def forget(path):
    """Has the system drop the file from its cache; false where it does not, as where files are nowhere but in memory."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as memory:
            pages = (len(memory) + mmap.PAGESIZE - 1) // mmap.PAGESIZE
            resident = (ctypes.c_ubyte * pages)()
            address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(memory)), resident)
            return sum(page & 1 for page in bytes(resident)) < pages / 20


class MemoryGroup:
    """A control group, of either version, whose processes have so many bytes."""

    ROOTS = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"))

    def __init__(self, directory, limit_file):
        self.directory = directory
        self.limit_file = limit_file

    @classmethod
    def make(cls):
        """None where none can be made."""
        for root, limit_file in cls.ROOTS:
            directory = os.path.join(root, f"tilefold-test-{os.getpid()}")
            try:
                os.mkdir(directory)
            except OSError:
                continue
            group = cls(directory, limit_file)
            if os.path.exists(os.path.join(directory, limit_file)) and group.works():
                return group
            group.remove()
        return None

    def works(self):
        """Whether a limit can be set and a process be in it."""
        try:
            self.set_limit(1 << 28)
            return subprocess.run(["true"], preexec_fn=self.join).returncode == 0
        except (OSError, subprocess.SubprocessError):
            return False

    def set_limit(self, limit):
        with open(os.path.join(self.directory, self.limit_file), "w") as file:
            file.write(str(limit))

    def join(self):
        """The calling process and those that it starts are in the group; for preexec_fn."""
        with open(os.path.join(self.directory, "cgroup.procs"), "w") as file:
            file.write("0")

    def remove(self):
        os.rmdir(self.directory)
