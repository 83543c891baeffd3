-- What a replay needs to decode an input again; rows from before cannot be replayed.
ALTER TABLE rejections ADD COLUMN IF NOT EXISTS is_whole Bool DEFAULT false AFTER input;
ALTER TABLE rejections ADD COLUMN IF NOT EXISTS source LowCardinality(String) DEFAULT dialect AFTER is_whole;
ALTER TABLE rejections ADD COLUMN IF NOT EXISTS restriction LowCardinality(String) AFTER source;
ALTER TABLE rejections ADD COLUMN IF NOT EXISTS shift_ms Int64 AFTER restriction;
ALTER TABLE rejections ADD COLUMN IF NOT EXISTS file_stem String AFTER shift_ms;
ALTER TABLE rejections ADD COLUMN IF NOT EXISTS columns Array(String) AFTER file_stem;

-- Rejections that are settled: their inputs were replayed and became calls, or turned out to be none.
CREATE TABLE IF NOT EXISTS replays
(
    call_id     String,
    replayed_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
PARTITION BY toDate(replayed_at)
ORDER BY call_id
TTL toDateTime(replayed_at) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 0;
