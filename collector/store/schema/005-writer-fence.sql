-- Who may write a partition of the log: the row with the highest (epoch, owner). Rows are never dropped: an old writer
-- that comes back must find the one that replaced it.
CREATE TABLE IF NOT EXISTS writer_fence
(
    topic     LowCardinality(String),
    partition UInt32,
    epoch     UInt64,
    owner     String,
    taken_at  DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (topic, partition, epoch)
SETTINGS non_replicated_deduplication_window = 0, fsync_after_insert = 1, fsync_part_directory = 1;
