-- Routes, models and providers over all tenants: few rows whatever the number of tenants, so that days of them are added
-- up, and their digests merged, in milliseconds. Parts from before are read as they were until they drop.
ALTER TABLE calls ADD PROJECTION IF NOT EXISTS totals_by_hour
(
    SELECT
        hour, gateway, service, route, provider, model, outcome,
        count(),
        sum(request_bytes), sum(response_bytes),
        sum(input_tokens), sum(cached_input_tokens), sum(output_tokens), sum(total_tokens),
        sum(cost_micros),
        quantilesTDigest(0.5, 0.9, 0.99)(latency_ms)
    GROUP BY hour, gateway, service, route, provider, model, outcome
);
