"""The numbers of all processes, added up when metrics are read, in the formats of Prometheus."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from service.metrics.families import FAMILIES, INFO_FAMILIES, Family
from service.metrics.segments import Labels, Series

Totals = Mapping[Family, Mapping[Labels, Sequence[float]]]


@dataclass(frozen=True, eq=False)  # the registry keeps it by identity
class _Snapshot(Collector):
    totals: Totals

    def collect(self) -> Iterator[Metric]:
        for family, series in self.totals.items():
            yield _metric(family, series)


def render(series: Iterable[Series], accept: str | None) -> tuple[bytes, str]:
    """Write all metrics.

    Args:
        series: Of all processes, ended ones too; series of the same labels are added up.
        accept: The request's Accept header; OpenMetrics is written to those who ask for it.

    Returns:
        The document and its media type.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(_add_up(series)))
    encode, media_type = choose_encoder(accept or "")
    return encode(registry), media_type


def _add_up(series: Iterable[Series]) -> Totals:
    totals: dict[Family, dict[Labels, list[float]]] = {
        family: {} for family in (*FAMILIES, *INFO_FAMILIES)
    }
    for family, labels, numbers in series:
        known = totals[family].get(labels, [0.0] * family.cells)
        pairs = zip(known, numbers, strict=True)
        totals[family][labels] = [total + number for total, number in pairs]
    return totals


def _metric(family: Family, series: Mapping[Labels, Sequence[float]]) -> Metric:
    ordered = sorted(series.items())
    if family.kind == "counter":
        counter = CounterMetricFamily(family.name, family.help, labels=family.labels)
        for labels, (total,) in ordered:
            counter.add_metric(labels, total)
        return counter
    if family.kind == "gauge":
        gauge = GaugeMetricFamily(family.name, family.help, labels=family.labels)
        for labels, (value,) in ordered:
            gauge.add_metric(labels, value)
        return gauge
    histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = [*map(str, family.bounds), "+Inf"]
    for labels, (total, *counts) in ordered:
        histogram.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
    return histogram
