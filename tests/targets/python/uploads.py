"""Uploads that were begun and not finished: few of them, with large buffers that do not lie in Python's heap."""

from __future__ import annotations

from pace import paced

CHUNK = bytes(16 << 10)


class Uploads:
    def __init__(self) -> None:
        self.begun: dict[int, bytearray] = {}

    def take(self, upload: int, chunk: bytes) -> None:
        buffer = self.begun.get(upload)
        if buffer is None:
            buffer = self.begun[upload] = bytearray()  # LEAK
        buffer += chunk

    def finish(self, upload: int) -> bytes:
        return bytes(self.begun.pop(upload))


UPLOADS = Uploads()


def main() -> None:
    for number in paced(rate=20):
        for _ in range(4):
            UPLOADS.take(number, CHUNK)
        # Most clients lose their patience before that.
        if number % 4 == 0:
            UPLOADS.finish(number)


if __name__ == "__main__":
    main()
