"""Every process's numbers, added up when somebody asks, in the formats of Prometheus."""

from collections.abc import Iterable, Iterator, Sequence
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

from service.metrics.families import FAMILIES, Family
from service.metrics.segments import Segment

Labels = tuple[str, ...]
Info = tuple[Family, Iterable[Labels]]


@dataclass(frozen=True, eq=False)  # the registry keeps it by identity
class _Snapshot(Collector):
    segments: Sequence[Segment]
    infos: Sequence[Info]

    def collect(self) -> Iterator[Metric]:
        totals = self._totals()
        for family in FAMILIES:
            yield _metric(family, totals[family])
        for family, series in self.infos:
            yield _metric(family, {labels: [1.0] for labels in series})

    def _totals(self) -> dict[Family, dict[Labels, list[float]]]:
        totals: dict[Family, dict[Labels, list[float]]] = {family: {} for family in FAMILIES}
        for segment in self.segments:
            for family, labels, cells in segment.series():
                known = totals[family].get(labels, [0.0] * family.cells)
                pairs = zip(known, cells, strict=True)
                totals[family][labels] = [total + number for total, number in pairs]
        return totals


def render(
    segments: Sequence[Segment], infos: Sequence[Info], accept: str | None
) -> tuple[bytes, str]:
    """Write all metrics.

    Args:
        segments: Those of all processes, dead ones too: what they counted still counts.
        infos: Families that are 1 for each of their label values.
        accept: The request's Accept header; OpenMetrics is written to those who ask for it.

    Returns:
        The document and its media type.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(segments, infos))
    encode, media_type = choose_encoder(accept or "")
    return encode(registry), media_type


def _metric(family: Family, series: dict[Labels, list[float]]) -> Metric:
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
