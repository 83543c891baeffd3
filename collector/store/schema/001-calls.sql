-- One row a call. Strings are '' where unknown, numbers null. Every query filters and groups on `minute` and `hour`,
-- never on an expression of started_at, or it would miss the projections.
CREATE TABLE IF NOT EXISTS calls
(
    call_id             UUID,
    request_id          String,
    started_at          DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    arrived_at          DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    tenant              LowCardinality(String),
    consumer            String,
    gateway             LowCardinality(String),
    dialect             LowCardinality(String),
    method              LowCardinality(String),
    host                LowCardinality(String),
    route               LowCardinality(String),
    service             LowCardinality(String),
    provider            LowCardinality(String),
    model               LowCardinality(String),
    provider_key        LowCardinality(String),
    status              Nullable(UInt16),
    outcome             LowCardinality(String),
    latency_ms          Nullable(Float32),
    upstream_latency_ms Nullable(Float32),
    request_bytes       Nullable(UInt64),
    response_bytes      Nullable(UInt64),
    input_tokens        Nullable(UInt64),
    cached_input_tokens Nullable(UInt64),
    output_tokens       Nullable(UInt64),
    total_tokens        Nullable(UInt64),
    cost_micros         Nullable(UInt64),
    upstream_limits     String,
    decision_id         String,
    client_ip           String,
    labels              Map(LowCardinality(String), String),
    label_1             String,
    label_2             String,
    minute              DateTime('UTC') MATERIALIZED toStartOfMinute(started_at) CODEC(DoubleDelta, ZSTD(1)),
    hour                DateTime('UTC') MATERIALIZED toStartOfHour(started_at) CODEC(DoubleDelta, ZSTD(1)),
    log_id              LowCardinality(String),
    log_partition       UInt32,
    log_offset          UInt64 CODEC(Delta, ZSTD(1)),

    INDEX started_at_range started_at TYPE minmax GRANULARITY 1,
    INDEX minute_range minute TYPE minmax GRANULARITY 1,
    INDEX log_offset_range log_offset TYPE minmax GRANULARITY 1,

    -- Who used how much: quotas, forecasts, costs.
    PROJECTION usage_by_hour
    (
        SELECT
            hour, tenant, consumer, provider, model, provider_key, outcome,
            count(),
            sum(request_bytes), sum(response_bytes),
            sum(input_tokens), sum(cached_input_tokens), sum(output_tokens), sum(total_tokens),
            sum(cost_micros)
        GROUP BY hour, tenant, consumer, provider, model, provider_key, outcome
    ),
    -- How the routes fare: errors, latency, volume.
    PROJECTION routes_by_hour
    (
        SELECT
            hour, tenant, gateway, service, route, provider, model, outcome,
            count(),
            sum(request_bytes), sum(response_bytes),
            sum(input_tokens), sum(cached_input_tokens), sum(output_tokens), sum(total_tokens),
            sum(cost_micros),
            quantilesTDigest(0.5, 0.9, 0.99)(latency_ms)
        GROUP BY hour, tenant, gateway, service, route, provider, model, outcome
    )
)
ENGINE = MergeTree
PARTITION BY toDate(arrived_at)
ORDER BY (tenant, consumer, started_at)
TTL toDateTime(arrived_at) + INTERVAL 30 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    default_compression_codec = 'ZSTD(1)',
    -- The writer reads back what is stored; a second opinion would lose a retried batch.
    non_replicated_deduplication_window = 0,
    -- Acknowledged survives a power cut too, not only a kill.
    fsync_after_insert = 1,
    fsync_part_directory = 1;
