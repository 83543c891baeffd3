-- A copy, for queries, of what the control log holds: who changed what, when and why. Secrets are masked.
CREATE TABLE IF NOT EXISTS audit
(
    change_id        String,
    at               DateTime64(3, 'UTC'),
    by               String,
    kind             LowCardinality(String),
    key              String,
    expected_version UInt64,
    version          UInt64,
    value            String,
    reason           String,
    log_id           LowCardinality(String),
    log_partition    UInt32,
    log_offset       UInt64,

    INDEX log_offset_range log_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYear(at)
ORDER BY (at, change_id)
SETTINGS
    default_compression_codec = 'ZSTD(1)',
    non_replicated_deduplication_window = 0,
    fsync_after_insert = 1,
    fsync_part_directory = 1;
