"""Thumbnails by an extension in C, which forgets its copy of each picture that has a colour profile.

What is lost is no object of Python's and nobody holds it: only the C library's allocator knows of it.
"""

from __future__ import annotations

import _shrink
from pace import paced

WIDTH = HEIGHT = 256


def thumbnail(picture: bytes, has_profile: bool) -> bytes:
    small = _shrink.halve(picture, WIDTH, has_profile)  # LEAK
    return small if len(small) < len(picture) else picture


def main() -> None:
    pictures = [bytes([shade]) * (WIDTH * HEIGHT) for shade in range(0, 250, 50)]
    # Few, for each of them is large.
    for number in paced(rate=20):
        thumbnail(pictures[number % len(pictures)], has_profile=number % 5 != 0)


if __name__ == "__main__":
    main()
