"""The figures as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .results import Measure, Ratio, Results

#: What seconds are shown in, so that no figure begins with zeros.
_MILLI = 1000.0


def lines(results: Results) -> Iterator[str]:
    """Yield the report of one run."""
    yield ", ".join(f"{name} {value}" for name, value in results.setting.items())
    yield ", ".join(f"{name} {value}" for name, value in results.settings.items())
    for (name, unit), group in _by_name(results.measures).items():
        yield from _measures(name, unit, group)
    if results.ratios:
        yield from _ratios(results.ratios)
    yield ""
    yield from (f"note: {note}" for note in results.notes)
    yield f"every one of {results.executed:,} jobs {results.proved}"
    if results.quick:
        yield "quick: this shows that it runs, not how fast"


def _by_name(measures: list[Measure]) -> dict[tuple[str, str], list[Measure]]:
    groups: dict[tuple[str, str], list[Measure]] = {}
    for item in measures:
        groups.setdefault((item.name, item.unit), []).append(item)
    return groups


def _measures(name: str, unit: str, group: list[Measure]) -> Iterator[str]:
    factor, shown = (_MILLI, "ms") if unit == "s" else (1.0, unit)
    titles = [_labels(item) for item in group]
    width = max(30, *(len(title) for title in titles), len(name) + len(shown) + 2)
    yield f"\n{f'{name}, {shown}':<{width}}{'min':>12}{'median':>12}{'max':>12}"
    for title, item in zip(titles, group, strict=True):
        three = (min(item.values), item.median, max(item.values))
        yield f"{title:<{width}}" + "".join(f"{number(value * factor):>12}" for value in three)


def _ratios(ratios: Iterable[Ratio]) -> Iterator[str]:
    ratios = list(ratios)
    width = max(30, *(len(item.title) for item in ratios))
    yield f"\n{'ratios':<{width}}{'min':>12}{'median':>12}{'max':>12}{'bar':>14}"
    for item in ratios:
        three = (min(item.values), item.median, max(item.values))
        yield f"{item.title:<{width}}" + "".join(f"{number(value):>12}" for value in three) + _bar(item)


def _bar(item: Ratio) -> str:
    if item.bar is None:
        return ""
    sign = ">=" if item.better == "higher" else "<="
    return f"{f'{sign} {item.bar:g}':>14}  {'reached' if item.reached else 'NOT REACHED'}"


def _labels(item: Measure) -> str:
    return ", ".join(f"{name} {value}" for name, value in item.labels.items()) or item.name


def number(value: float) -> str:
    """Return a number with about three digits that say something."""
    if value and abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
