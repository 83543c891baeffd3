-- What the limiter decided: one row a minute, quota and bucket, as sums since the row before it. An append to the log that is
-- tried again has the same `sum_id`, so the writer leaves it out.
CREATE TABLE IF NOT EXISTS decisions
(
    sum_id        UUID,
    minute        DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    quota         LowCardinality(String),
    subject       String,
    tenant        LowCardinality(String),
    consumer      String,
    unit          LowCardinality(String),
    allowed       UInt64,
    denied        UInt64,
    spent         Float64,
    denied_cost   Float64,
    demanded      Float64 MATERIALIZED spent + denied_cost,
    log_id        LowCardinality(String),
    log_partition UInt32,
    log_offset    UInt64,

    INDEX log_offset_range log_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(minute)
ORDER BY (quota, subject, minute)
TTL minute + INTERVAL 30 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    default_compression_codec = 'ZSTD(1)',
    non_replicated_deduplication_window = 0,
    fsync_after_insert = 1,
    fsync_part_directory = 1;
