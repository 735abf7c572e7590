# SPDX-License-Identifier: MIT
"""What goes wrong, as Python says it."""

from __future__ import annotations


class LimitTooSmall(MemoryError):
    """The scratch limit is below the least with which this problem can be computed.

    bytes_needed is that least: the same call with scratch=error.bytes_needed succeeds.
    """

    bytes_needed: int

    def __init__(self, message: str, bytes_needed: int) -> None:
        super().__init__(message, bytes_needed)
        self.bytes_needed = bytes_needed

    def __str__(self) -> str:
        return str(self.args[0])
