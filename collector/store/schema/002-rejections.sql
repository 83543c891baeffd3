-- What could not be normalized, and entries of the log that nobody can read (`log_topic` says where they are).
CREATE TABLE IF NOT EXISTS rejections
(
    call_id       String,
    arrived_at    DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    tenant        LowCardinality(String),
    gateway       LowCardinality(String),
    dialect       LowCardinality(String),
    reason        LowCardinality(String),
    message       String,
    input         String,
    log_topic     LowCardinality(String),
    log_id        LowCardinality(String),
    log_partition UInt32,
    log_offset    UInt64,

    INDEX log_offset_range log_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(arrived_at)
ORDER BY (arrived_at, call_id)
TTL toDateTime(arrived_at) + INTERVAL 30 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    default_compression_codec = 'ZSTD(1)',
    non_replicated_deduplication_window = 0,
    fsync_after_insert = 1,
    fsync_part_directory = 1;
