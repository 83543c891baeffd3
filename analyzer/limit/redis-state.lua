-- What every script on counters begins with: the head, the clock, the buckets of open windows, and the arithmetic of
-- bucket.ts. Constants and the names of keys stand above, from redis-scripts.ts; ARGV[1] is a test's clock, or empty.
-- Buckets that a script reads are kept until its end and written once by `finish`.

local call = redis.call

local packedHead = call('GET', HEAD)
if not packedHead then return redis.error_reply('EPOCHLOST the counters are gone') end
local epoch, sequence, latestMs, bucketCount, nextWindow, comparison, forgottenEpoch = cmsgpack.unpack(packedHead)

-- One clock for all: the server's, unless a test gives another. While it is set back, time stands still (clock.ts).
local clockMs = tonumber(ARGV[1])
if not clockMs then
  local time = call('TIME')
  clockMs = time[1] * 1000 + time[2] / 1000
end
local nowMs = math.floor(clockMs)
if nowMs < latestMs and latestMs - nowMs <= STEP_BACK_MS_MAX then nowMs = latestMs end

-- A bucket: window, index, settled, reserved, the comparison in which `cut` was taken, the one that corrected it last,
-- the level (false where nothing drains), when it forgot what was taken of it (false where it never did); then for each
-- gateway its name, pending, unlinked, recorded, compared, cut.
local WINDOW, INDEX, SETTLED, RESERVED, CUT_BY, CORRECTED_BY, LEVEL, FORGETTING, SHARES = 1, 2, 3, 4, 5, 6, 7, 8, 9
local REST, REST_AT, AMOUNT, PERIOD, KEPT, STEPS, STRETCHES = 1, 2, 3, 4, 5, 6, 7
-- The reset, and the last decision before.
local SINCE, LAST_EPOCH, LAST_SEQUENCE = 1, 2, 3
local GATEWAY, PENDING, UNLINKED, RECORDED, COMPARED_TO, CUT, SHARE_FIELDS = 0, 1, 2, 3, 4, 5, 6

-- By place, then subject.
local entries = {}
local bucketKeys = {}
-- By place.
local dirty = {}
local hasNews = false

-- The buckets of a place that were looked for, by subject: false for one that is not there.
local function entriesOf(place)
  local ofPlace = entries[place]
  if not ofPlace then
    ofPlace = {}
    entries[place] = ofPlace
    bucketKeys[place] = BUCKETS .. place
  end
  return ofPlace
end

local function toEntry(place, subject, packed)
  return packed and { place = place, subject = subject, values = { cmsgpack.unpack(packed) } }
end

local function find(place, subject)
  local ofPlace = entriesOf(place)
  local entry = ofPlace[subject]
  if entry == nil then
    entry = toEntry(place, subject, call('HGET', bucketKeys[place], subject))
    ofPlace[subject] = entry
  end
  return entry
end

local function touch(entry)
  if entry.isDirty then return end
  entry.isDirty = true
  local ofPlace = dirty[entry.place]
  if ofPlace then ofPlace[#ofPlace + 1] = entry else dirty[entry.place] = { entry } end
  hasNews = true
end

-- The window's number, given if need be. `place` is its begin and its series.
local function windowOf(place, endMs)
  local id = tonumber(call('HGET', WINDOWS, place))
  if id then return id end
  id = nextWindow
  nextWindow = nextWindow + 1
  hasNews = true
  call('HSET', WINDOWS, place, id)
  call('HSET', PLACES, id, string.format('%.17g ', endMs) .. place)
  call('ZADD', ENDS, endMs, id)
  return id
end

-- The bucket, made if need be.
local function obtain(place, endMs, subject)
  local entry = find(place, subject)
  if entry then return entry end
  local window = windowOf(place, endMs)
  local index = call('HINCRBY', SIZES, window, 1) - 1
  call('HSET', NAMES .. place, index, subject)
  if index == 0 then call('PEXPIRE', NAMES .. place, endMs - nowMs + EXPIRY_MS) end
  bucketCount = bucketCount + 1
  hasNews = true
  local values = { window, index, 0, 0, comparison, 0, false, false }
  entry = { place = place, subject = subject, values = values, endMs = endMs }
  entries[place][subject] = entry
  touch(entry)
  return entry
end

-- True while the bucket has not forgotten what was taken of it before the reset.
local function isOutdated(entry, sinceMs)
  if sinceMs == 0 or tonumber(entry.place:match('^%S+')) > sinceMs then return false end
  local forgetting = entry.values[FORGETTING]
  return not forgetting or forgetting[SINCE] < sinceMs
end

-- True for a call that began before a reset that the bucket was told of.
local function isForgiven(entry, startedAtMs)
  local forgetting = entry.values[FORGETTING]
  return forgetting and startedAtMs < forgetting[SINCE]
end

-- Forgets what was taken of the bucket before the reset, unless it has. Answers whether it was to be done.
local function forgetBefore(entry, sinceMs)
  if not isOutdated(entry, sinceMs) then return false end
  local values = entry.values
  values[SETTLED], values[RESERVED] = 0, 0
  if values[LEVEL] then values[LEVEL][REST] = 0 end
  for at = SHARES, #values, SHARE_FIELDS do
    for field = PENDING, CUT do values[at + field] = 0 end
  end
  values[FORGETTING] = { sinceMs, epoch, sequence }
  return true
end

-- What is held in the window of an entry that has changed is found by its number until then.
local function keepUntil(entry, untilMs)
  local id, place, first = entry.values[WINDOW], entry.place, dirty[entry.place][1]
  if call('ZADD', ENDS, 'GT', 'CH', untilMs + 1, id) == 0 then return end
  call('HSET', PLACES, id, string.format('%.17g ', untilMs + 1) .. place)
  if first.endMs then first.endMs = math.max(first.endMs, untilMs + 1) end
  for _, key in ipairs({ NAMES .. place, bucketKeys[place] }) do
    call('PEXPIRE', key, untilMs - nowMs + EXPIRY_MS, 'GT')
  end
end

-- Settled bits are kept in chunks, ordered as text as they are by epoch and number.
local function chunkName(ofEpoch, ofSequence)
  return string.format('%016.0f:%012.0f', ofEpoch, math.floor(ofSequence / CHUNK_SEQUENCES))
end

-- Of a caller as `callerPrefix` has it; empty is unknown.
local function tenantOf(caller)
  return caller and caller:match('^@%d+:([^/]*)/') or ''
end

local function mayBeOneTenant(one, other)
  return one == '' or other == '' or one == other
end

-- The entry of a request, and its key: the caller's own, under one of the keys, else that of whoever may be of the same
-- tenant (ledger.ts).
local function findListed(requestKeys, caller)
  local keys = {}
  for at, requestKey in ipairs(requestKeys) do
    keys[at], keys[#requestKeys + at] = requestKey, caller .. requestKey
  end
  local packed, found, foundAt = call('HMGET', REQUESTS, unpack(keys)), nil, nil
  for at, key in ipairs(keys) do
    local entry = packed[at] and { cmsgpack.unpack(packed[at]) }
    if entry and entry[5] == caller then return entry, key end
    if entry and not found and mayBeOneTenant(tenantOf(entry[5]), tenantOf(caller)) then found, foundAt = entry, key end
  end
  return found, foundAt
end

-- How a decision has been settled; 0 for not yet.
local function bitsOf(ofEpoch, ofSequence)
  local key = BITS .. chunkName(ofEpoch, ofSequence)
  return call('BITFIELD', key, 'GET', 'u2', '#' .. ofSequence % CHUNK_SEQUENCES)[1]
end

-- Writes what the script has changed.
local function finish()
  if not hasNews then return end
  for place, ofPlace in pairs(dirty) do
    local key = bucketKeys[place]
    for from = 1, #ofPlace, PIECE do
      local fields = {}
      for at = from, math.min(from + PIECE - 1, #ofPlace) do
        fields[#fields + 1] = ofPlace[at].subject
        fields[#fields + 1] = cmsgpack.pack(unpack(ofPlace[at].values))
      end
      call('HSET', key, unpack(fields))
    end
    -- Only a bucket that has just been made knows the end; the first one of its window comes first.
    local first = ofPlace[1]
    if first.endMs and first.values[INDEX] == 0 then call('PEXPIRE', key, first.endMs - nowMs + EXPIRY_MS) end
  end
  call('SET', HEAD, cmsgpack.pack(epoch, sequence, nowMs, bucketCount, nextWindow, comparison, forgottenEpoch))
end

-- Numbers leave as doubles, bit for bit, where printing would round; in pieces, as the stack has its bounds.
local function toDoubles(numbers)
  local pieces = {}
  for from = 1, #numbers, PIECE do
    local to = math.min(from + PIECE - 1, #numbers)
    pieces[#pieces + 1] = struct.pack('<' .. string.rep('d', to - from + 1), unpack(numbers, from, to))
  end
  return table.concat(pieces)
end

local function usedOf(values)
  local pendingOfNobody, pending, excess = 0, 0, 0
  for at = SHARES, #values, SHARE_FIELDS do
    local ofShare, unlinked = values[at + PENDING], values[at + UNLINKED]
    if values[at + GATEWAY] == '' then
      pendingOfNobody = ofShare
      excess = excess + unlinked
    else
      pending = pending + ofShare
      if unlinked > ofShare then excess = excess + (unlinked - ofShare) end
    end
  end
  return values[SETTLED] + pending + (excess > pendingOfNobody and excess or pendingOfNobody)
end

local function fitsLimit(taken, cost, limit)
  if cost > 0 then return taken + cost <= limit end
  return taken < limit
end

-- Where the gateway's share begins, made if need be.
local function shareOf(values, gateway)
  for at = SHARES, #values, SHARE_FIELDS do
    if values[at + GATEWAY] == gateway then return at end
  end
  local at = #values + 1
  local isFull = at >= SHARES + GATEWAYS_MAX * SHARE_FIELDS and gateway ~= ''
  if isFull then return shareOf(values, '') end
  values[at + GATEWAY] = gateway
  for field = PENDING, CUT do values[at + field] = 0 end
  return at
end

-- Keeps what was recorded when the comparison under way began, before the first change since.
local function cut(values)
  if values[CUT_BY] == comparison then return end
  values[CUT_BY] = comparison
  for at = SHARES, #values, SHARE_FIELDS do values[at + CUT] = values[at + RECORDED] end
end
