-- Of short windows there are many forecasts, and only those of the newest windows are scored or shown: they stay for as
-- long as a thousand windows, for two days at least, and no longer than before. Rows expire one by one, as windows of all
-- lengths are in one part; those from before expire in the background.
ALTER TABLE forecasts MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE forecasts MODIFY TTL toDateTime(as_of) + toIntervalSecond(least(400 * 86400, greatest(2 * 86400, 1000 * dateDiff('second', window_start, window_end))))
    SETTINGS materialize_ttl_after_modify = 0;
ALTER TABLE forecasts MATERIALIZE TTL SETTINGS mutations_sync = 0;
