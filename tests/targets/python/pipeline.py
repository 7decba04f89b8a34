"""Healthy: jobs that hold what they have worked out in local variables, for some seconds, and are then done with it."""

from __future__ import annotations

from typing import Iterator

from pace import paced

READINGS = 9_000


def job(numbers: Iterator[int]) -> float:
    readings: list[tuple[int, float]] = []
    by_sensor: dict[str, list[float]] = {}
    for number in numbers:
        readings.append((number, number % 70 / 10))
        if len(readings) == READINGS:
            break
    for number, value in readings:
        by_sensor.setdefault(f"sensor-{number % 90}", []).append(value)
    means = [sum(values) / len(values) for values in by_sensor.values()]
    return max(means, default=0.0)


def main() -> None:
    numbers = paced()
    highest = -1.0
    while highest != 0.0:
        highest = job(numbers)


if __name__ == "__main__":
    main()
