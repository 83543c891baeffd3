-- Gives expired reservations back, ends windows, forgets requests and reservations that waited too long; a bounded number
-- of each.
-- ARGV: clock.
-- Answers the instant (with its fraction), buckets, how many reservations expired, 1 when there is more to do, and the epoch.

local isMore = 0

local expired = call('ZRANGEBYSCORE', HELD_ENDS, '-inf', nowMs, 'LIMIT', 0, SWEPT_MAX)
-- Held since an instant that is yet to come: the clock was set back (ledger.ts).
local aheadMs = string.format('(%.17g', nowMs + STEP_BACK_MS_MAX)
for _, made in ipairs(call('ZREVRANGEBYSCORE', HELD_ENDS, '+inf', aheadMs, 'LIMIT', 0, SWEPT_MAX)) do
  local heldSinceMs = ({ cmsgpack.unpack(call('HGET', HELD, made)) })[4]
  if heldSinceMs > nowMs then expired[#expired + 1] = made end
end
-- In the order in which they were made, as sums of fractions depend on it.
table.sort(expired, function(one, other) return tonumber(one) < tonumber(other) end)
for _, made in ipairs(expired) do
  local reference = toReference({ cmsgpack.unpack(call('HGET', HELD, made)) })
  takeHeld(reference)
  unhold(reference)
  if noteOf(reference) then call('ZADD', EXPIRED, made, made) end
end
if #expired >= SWEPT_MAX then isMore = 1 end

-- A decision that is under way may still look for its bucket: those go a little later, and without blocking.
local ended = call('ZRANGEBYSCORE', ENDS, '-inf', nowMs, 'LIMIT', 0, SWEPT_MAX)
for _, id in ipairs(ended) do
  local place = call('HGET', PLACES, id):match('^%S+ (.*)$')
  bucketCount = bucketCount - tonumber(call('HGET', SIZES, id) or 0)
  call('HDEL', WINDOWS, place)
  for _, key in ipairs({ PLACES, SIZES, COMPARED }) do call('HDEL', key, id) end
  call('ZREM', ENDS, id)
  call('ZADD', ENDED, nowMs + ENDED_MS, place)
  hasNews = true
end
for _, place in ipairs(call('ZRANGEBYSCORE', ENDED, '-inf', nowMs, 'LIMIT', 0, SWEPT_MAX)) do
  call('UNLINK', BUCKETS .. place, NAMES .. place)
  call('ZREM', ENDED, place)
end
if #ended == SWEPT_MAX then isMore = 1 end

for _, requestKey in ipairs(call('ZRANGE', REQUEST_ORDER, 0, SWEPT_MAX - 1)) do
  local madeAtMs = ({ cmsgpack.unpack(call('HGET', REQUESTS, requestKey)) })[4]
  if madeAtMs + REQUEST_HORIZON_MS > nowMs then break end
  unlist(requestKey)
end

local excess = call('ZCARD', EXPIRED) - RESERVATIONS_MAX
for place, made in ipairs(call('ZRANGE', EXPIRED, 0, SWEPT_MAX - 1)) do
  local _, madeAtMs = cmsgpack.unpack(call('HGET', NOTES, made))
  if place > excess and madeAtMs + NOTE_HORIZON_MS > nowMs then break end
  call('HDEL', NOTES, made)
  call('ZREM', EXPIRED, made)
end

finish()
return toDoubles({ math.max(nowMs, clockMs), bucketCount, #expired, isMore, epoch })
