"""Objects that hold themselves, in a program that has switched the collector off.

With the collector on, CPython has freed such cycles since 3.4, also those with `__del__`. Services switch it off for
even response times (or freeze what they have), believing that references are counted anyway.
"""

from __future__ import annotations

import gc

from pace import paced


class Request:
    def __init__(self, number: int) -> None:
        self.number = number
        self.is_open = True
        self.headers = {"Host": "shop.example", "X-Request-Id": f"{number:016x}"}
        # The method holds the request, which holds the method.
        self.on_done = self.close

    def close(self) -> None:
        self.is_open = False

    def __del__(self) -> None:
        if self.is_open:
            self.close()


def handle(number: int) -> int:
    request = Request(number)  # LEAK
    request.on_done()
    return len(request.headers)


def main() -> None:
    gc.disable()
    for number in paced():
        handle(number)


if __name__ == "__main__":
    main()
