"""What the control plane counts, for Prometheus. No label ever holds an id or a person's text."""

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

registry = REGISTRY

RUNNERS = Gauge("earthshine_runners_connected", "Runners connected now", registry=registry)
VIEWERS = Gauge("earthshine_viewers", "Feeds open now", registry=registry)
SESSIONS_STARTED = Counter(
    "earthshine_sessions_started", "Sessions asked for, by agent", ["agent"], registry=registry
)
EVENTS = Counter("earthshine_events_stored", "Log entries stored", registry=registry)
EVENT_BYTES = Counter("earthshine_event_bytes_stored", "Bytes of data stored", registry=registry)
DUPLICATES = Counter("earthshine_events_duplicate", "Entries that came again", registry=registry)
REFUSED_FRAMES = Counter(
    "earthshine_frames_refused", "Runner messages not taken, by reason", ["code"], registry=registry
)
REFUSED_FEED = Counter(
    "earthshine_feed_messages_refused", "Viewer messages not taken", registry=registry
)
REFUSED_REQUESTS = Counter(
    "earthshine_requests_refused",
    "Requests refused before a handler: host, origin, content type",
    ["why"],
    registry=registry,
)
STORE_FAILURES = Counter(
    "earthshine_store_failures",
    "Writes to the database that had to be tried again",
    registry=registry,
)
BACKLOG = Gauge("earthshine_store_backlog_bytes", "Bytes waiting to be stored", registry=registry)
COMMIT_SECONDS = Histogram(
    "earthshine_store_commit_seconds",
    "Time to store one batch of entries",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
    registry=registry,
)
THROTTLED = Counter(
    "earthshine_throttled",
    "Attempts refused because there were too many",
    ["check"],
    registry=registry,
)
AUDIT_RECORDS = Counter("earthshine_audit_records", "Audit records written", registry=registry)
AUDIT_FAILURES = Counter(
    "earthshine_audit_failures", "Attempts to write the audit log that failed", registry=registry
)
AUDIT_SECONDS = Histogram(
    "earthshine_audit_commit_seconds",
    "Time to store one batch of audit records",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
    registry=registry,
)
