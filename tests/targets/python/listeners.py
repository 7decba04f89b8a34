"""A registry of listeners: each chart subscribes to its prices, and stays subscribed when it is closed."""

from __future__ import annotations

from collections import defaultdict
from typing import Callable

from pace import paced

Listener = Callable[[float], None]


class PriceFeed:
    def __init__(self) -> None:
        self.listeners: defaultdict[str, list[Listener]] = defaultdict(list)

    def subscribe(self, symbol: str, listener: Listener) -> None:
        self.listeners[symbol].append(listener)  # LEAK

    def publish(self, symbol: str, price: float) -> None:
        for listener in self.listeners[symbol]:
            listener(price)


FEED = PriceFeed()


class Chart:
    def __init__(self, symbol: str) -> None:
        self.points: list[float] = []
        FEED.subscribe(symbol, self.draw)

    def draw(self, price: float) -> None:
        self.points[-20:] = [price]


def main() -> None:
    for number in paced():
        Chart("ACME")
        if number % 10_000 == 9_999:
            FEED.publish("ACME", number / 100)


if __name__ == "__main__":
    main()
