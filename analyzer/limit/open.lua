-- Joins the epoch of the counters, or begins one: when there are none, when the server has been started anew since, or
-- when the settler's positions or the decisions are behind what somebody has seen.
-- ARGV: clock; the server's run id; the last epoch that was seen; the positions that were seen, each of them the
-- partition's name and the next offset; the last sequence that was seen in that epoch.
-- Answers the instant (with its fraction), epoch, buckets, 1 when it has begun with this, the instant, 1 when something is
-- lost: since the last epoch that was seen, as whoever saw it knows; to who has seen none, unless somebody has rebuilt what
-- the epoch lacks of those before.

local call = redis.call
local clockMs = tonumber(ARGV[1])
if not clockMs then
  local time = call('TIME')
  clockMs = time[1] * 1000 + time[2] / 1000
end
local format = call('HGET', LIFE, 'format')
if format and format ~= FORMAT then
  return redis.error_reply(
    'REFUSED the counters in Redis are of another version (format ' .. format .. ', this one has ' .. FORMAT .. '): '
      .. 'stop the limiters of that version, then give these another limits.keyPrefix, where use is rebuilt from the store'
  )
end

local isBehind = false
local seen = cjson.decode(ARGV[4])
for at = 1, #seen, 2 do
  local position = call('HGET', POSITIONS, seen[at])
  if not position or cjson.decode(position).nextOffset < seen[at + 1] then isBehind = true end
end

local packed = call('GET', HEAD)
local epoch, sequence, latestMs, bucketCount, nextWindow, comparison, forgottenEpoch = 0, 0, 0, 0, 1, 0, 0
if packed then
  epoch, sequence, latestMs, bucketCount, nextWindow, comparison, forgottenEpoch = cmsgpack.unpack(packed)
end
local lastEpoch, lastSequence = tonumber(ARGV[3]), tonumber(ARGV[5])
if packed and (epoch < lastEpoch or epoch == lastEpoch and sequence < lastSequence) then isBehind = true end
-- The epoch in which something was seen to be lost.
local lostEpoch = tonumber(call('HGET', LIFE, 'lost')) or 0
-- Somebody who had seen less has begun another one, and took it for whole.
local ended = packed and lostEpoch <= lastEpoch and epoch > lastEpoch and call('HGET', EPOCHS, lastEpoch)
if ended and cmsgpack.unpack(ended) < lastSequence then isBehind = true end
local nowMs = math.floor(clockMs)
if nowMs < latestMs and latestMs - nowMs <= STEP_BACK_MS_MAX then nowMs = latestMs end

local function answer(isNew)
  local isLost = lostEpoch > lastEpoch
  -- Nobody knows how far a life had come of which we have seen nothing.
  if lastEpoch == 0 then isLost = epoch > (tonumber(call('HGET', LIFE, 'rebuilt')) or 0) end
  return struct.pack('<dddddd', math.max(nowMs, clockMs), epoch, bucketCount, isNew, nowMs, isLost and 1 or 0)
end
if packed and not isBehind and call('HGET', LIFE, 'run') == ARGV[2] then return answer(0) end

-- What was charged after the last sequence that is here is gone with the epoch.
if packed then
  local _, floor = cmsgpack.unpack(call('HGET', EPOCHS, epoch))
  call('HSET', EPOCHS, epoch, cmsgpack.pack(sequence, floor, nowMs))
end
local known = {}
for _, number in ipairs(call('HKEYS', EPOCHS)) do known[#known + 1] = tonumber(number) end
table.sort(known)
for at, number in ipairs(known) do
  local _, _, endedAtMs = cmsgpack.unpack(call('HGET', EPOCHS, number))
  if endedAtMs + SETTLE_HORIZON_MS < nowMs or #known - at + 2 > EPOCHS_MAX then
    forgottenEpoch = math.max(forgottenEpoch, number)
    call('HDEL', EPOCHS, number)
    local name = string.format('%016.0f:', number)
    for _, chunk in ipairs(call('ZRANGEBYLEX', CHUNKS, '[' .. name, '(' .. name .. '~')) do
      call('ZREM', CHUNKS, chunk)
      call('UNLINK', BITS .. chunk)
    end
  end
end

-- A number that no life before had, also none that a restored copy does not know of.
epoch = math.max(nowMs, epoch + 1, lastEpoch + 1)
call('HSET', EPOCHS, epoch, cmsgpack.pack(0, 0, 0))
call('HSET', LIFE, 'format', FORMAT, 'run', ARGV[2])
if isBehind or not packed then
  lostEpoch = epoch
  call('HSET', LIFE, 'lost', lostEpoch)
end
call('SET', HEAD, cmsgpack.pack(epoch, sequence, nowMs, bucketCount, nextWindow, comparison, forgottenEpoch))
-- Records were missed: every window has to be compared whole.
if isBehind then call('DEL', COMPARED) end
return answer(1)
