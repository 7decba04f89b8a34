"""Healthy: an import that gathers rows for some seconds, writes them all at once, and begins again."""

from __future__ import annotations

from pace import paced


class Importer:
    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.rows: list[dict[str, object]] = []
        self.written = 0

    def take(self, row: dict[str, object]) -> None:
        self.rows.append(row)
        if len(self.rows) >= self.batch:
            self.write()

    def write(self) -> None:
        self.written += sum(1 for row in sorted(self.rows, key=lambda row: str(row["name"])))
        self.rows.clear()


IMPORTER = Importer(batch=12_000)


def main() -> None:
    for number in paced():
        IMPORTER.take({"number": number, "name": f"customer {number}", "tags": ["new", f"tag-{number % 31}"]})


if __name__ == "__main__":
    main()
