"""Healthy: a cache that gives up its oldest page for each new one when it is full, after some seconds."""

from __future__ import annotations

from collections import OrderedDict

from pace import paced


class PageCache:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.pages: OrderedDict[str, str] = OrderedDict()

    def page(self, url: str) -> str:
        page = self.pages.get(url)
        if page is None:
            page = self.pages[url] = self.render(url)
            if len(self.pages) > self.capacity:
                self.pages.popitem(last=False)
        else:
            self.pages.move_to_end(url)
        return page

    @staticmethod
    def render(url: str) -> str:
        return f"<html><title>{url}</title><p>{'All about it. ' * 8}</p></html>"


CACHE = PageCache(capacity=5_000)


def main() -> None:
    for number in paced():
        CACHE.page(f"/articles/{number}")
        CACHE.page("/")


if __name__ == "__main__":
    main()
