-- At most 24 rows a subject, quota and window; `mark` says which of them. Kept long enough to score a window of a year.
CREATE TABLE IF NOT EXISTS forecasts
(
    quota          LowCardinality(String),
    subject        String,
    tenant         LowCardinality(String),
    consumer       String,
    unit           LowCardinality(String),
    window_start   DateTime64(3, 'UTC'),
    window_end     DateTime64(3, 'UTC'),
    as_of          DateTime64(3, 'UTC'),
    mark           LowCardinality(String),
    used           Float64,
    `limit`        Float64,
    probability    Float64,
    exhaustion_p10 Nullable(DateTime64(3, 'UTC')),
    exhaustion_p50 Nullable(DateTime64(3, 'UTC')),
    exhaustion_p90 Nullable(DateTime64(3, 'UTC')),
    usage_p10      Nullable(Float64),
    usage_p50      Nullable(Float64),
    usage_p90      Nullable(Float64),
    headroom_p10   Nullable(Float64),
    headroom_p50   Nullable(Float64),
    headroom_p90   Nullable(Float64),
    burn_rate      Nullable(Float64),
    confidence     LowCardinality(String),
    why            String
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(as_of)
ORDER BY (quota, subject, window_start, as_of)
TTL toDateTime(as_of) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 0;
