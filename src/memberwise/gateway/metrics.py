"""Counts of what the gateway does, for Prometheus. No label names a client."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from memberwise.gateway.watch import Alarm

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """One gateway's counts."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "memberwise_requests", "Requests about the model.", ["protocol", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "memberwise_request_seconds", "Seconds a request took.", ["protocol"], buckets=SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.running = Gauge("memberwise_requests_running", "Requests at this moment.", registry=self.registry)
        self.answers = Counter("memberwise_answers", "Records answered about.", ["tier"], registry=self.registry)
        self.refusals = Counter("memberwise_refusals", "Requests refused.", ["kind", "reason"], registry=self.registry)
        self.failures = Counter(
            "memberwise_model_failures", "Questions the model gave no usable answer to.", ["kind"],
            registry=self.registry,
        )  # fmt: skip
        self.alarms = Counter(
            "memberwise_alarms", "Alarms that a client's questions raised.", ["code"], registry=self.registry
        )
        self.alarmed = Gauge(
            "memberwise_clients_with_alarm", "Clients with an alarm now.", ["code"], registry=self.registry
        )
        self.reloads = Counter("memberwise_reloads", "Policies read again.", ["outcome"], registry=self.registry)

    def clients_with_alarms(self, alarms: Mapping[str, Sequence[Alarm]]) -> None:
        """Take over how many clients have which alarm.

        Args:
            alarms: by client.
        """
        self.alarmed.clear()
        for code, count in Counts(alarm.code for each in alarms.values() for alarm in each).items():
            self.alarmed.labels(code).set(count)

    def refused(self) -> dict[str, int]:
        """Requests refused since the start, by what was wrong and, of a spent budget, whose."""
        counts: dict[str, int] = {}
        for sample in next(iter(self.refusals.collect())).samples:
            if sample.name.endswith("_total"):
                kind, reason = sample.labels["kind"], sample.labels["reason"]
                counts[f"{kind}: {reason}" if reason else kind] = int(sample.value)
        return counts

    def text(self) -> bytes:
        """All counts in Prometheus' text format."""
        return generate_latest(self.registry)
