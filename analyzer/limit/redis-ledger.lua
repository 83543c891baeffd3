-- The ledger (ledger.ts) and the settled bits (settled-bits.ts). A request is found by its key, and by its sequence,
-- which is its score in the order of requests; a reservation is found by its sequence, and by the instant it expires. Its
-- note is kept until it is settled, also when it has expired.
-- Sequences go on from epoch to epoch, so that they order all of the ledger.

local function unlist(requestKey)
  call('HDEL', REQUESTS, requestKey)
  call('ZREM', REQUEST_ORDER, requestKey)
end

-- Entries are packed as epoch, sequence, whether anything is held, the instant, who calls, and the charges, each of
-- them window, bucket, share, amount, and 1 when it is held; below 0 it is what the call of a check has spent since, by the
-- decision of that sequence.
local CHARGE_FIELDS = 5
local function toReference(entry)
  return { epoch = entry[1], sequence = entry[2], isHeld = entry[3], charges = { unpack(entry, 6) } }
end

local function findRequest(requestKey)
  local packed = call('HGET', REQUESTS, requestKey)
  return packed and toReference({ cmsgpack.unpack(packed) })
end

local function requestKeyOf(reference)
  return call('ZRANGEBYSCORE', REQUEST_ORDER, reference.sequence, reference.sequence)[1]
end

-- The decision with all that its call has spent, as far as its request is still known.
local function withJoined(reference)
  local requestKey = requestKeyOf(reference)
  local known = requestKey and findRequest(requestKey)
  return known and known.epoch == reference.epoch and known or reference
end

local function isHeld(reference)
  local packed = call('HGET', HELD, reference.sequence)
  return packed and cmsgpack.unpack(packed) == reference.epoch
end

-- Holds the decision's charges no longer; it can still be found by its request id.
local function unhold(reference)
  if not reference.isHeld or not isHeld(reference) then return end
  call('HDEL', HELD, reference.sequence)
  call('ZREM', HELD_ENDS, reference.sequence)
  call('ZREM', NOTED, reference.sequence)
end

-- The instant at which the reservation was made, when it expires, and its note; nothing when it is settled or unknown.
local function noteOf(reference)
  local packed = call('HGET', NOTES, reference.sequence)
  if not packed then return end
  local ofEpoch, madeAtMs, expiresAtMs, note = cmsgpack.unpack(packed)
  if ofEpoch == reference.epoch then return madeAtMs, expiresAtMs, note end
end

local function forgetNote(reference)
  if not reference.isHeld or not noteOf(reference) then return end
  call('HDEL', NOTES, reference.sequence)
  call('ZREM', EXPIRED, reference.sequence)
end

local function removeEntry(reference)
  unhold(reference)
  forgetNote(reference)
  local requestKey = requestKeyOf(reference)
  if requestKey and findRequest(requestKey).epoch == reference.epoch then unlist(requestKey) end
end

local OPEN, CALLER, RECORD, FORGOTTEN = 0, 1, 2, 3
local epochs = {}
local hasChunk = {}

-- Last durable sequence, and the first that is not forgotten; nothing for an epoch that is not known.
local function epochOf(number)
  local known = epochs[number]
  if known == nil then
    local packed = call('HGET', EPOCHS, number)
    known = packed and { cmsgpack.unpack(packed) }
    epochs[number] = known
  end
  return known
end

local function putEpoch(number, known)
  epochs[number] = known
  call('HSET', EPOCHS, number, cmsgpack.pack(unpack(known)))
end

local function isCharged(reference)
  if reference.epoch == epoch then return true end
  local known = epochOf(reference.epoch)
  return known and reference.sequence <= known[1]
end

local function stateOf(reference)
  local known = epochOf(reference.epoch)
  if not known then
    return reference.epoch <= forgottenEpoch and FORGOTTEN or OPEN
  end
  if reference.sequence < known[2] then return FORGOTTEN end
  local bits = bitsOf(reference.epoch, reference.sequence)
  if bits >= RECORD then return RECORD end
  return bits
end

local function makeRoom()
  local name = call('ZPOPMIN', CHUNKS)[1]
  call('UNLINK', BITS .. name)
  local ofEpoch, chunk = name:match('^(%d+):(%d+)$')
  local known = epochOf(tonumber(ofEpoch))
  known[2] = math.max(known[2], (chunk + 1) * CHUNK_SEQUENCES)
  putEpoch(tonumber(ofEpoch), known)
end

-- Marks the decision as settled. An epoch that is not known belongs to counters that are lost.
local function mark(reference, by)
  if not epochOf(reference.epoch) then putEpoch(reference.epoch, { -1, 0, nowMs }) end
  local name = chunkName(reference.epoch, reference.sequence)
  if not hasChunk[name] then
    hasChunk[name] = true
    if not call('ZSCORE', CHUNKS, name) then
      while call('ZCARD', CHUNKS) >= CHUNKS_MAX do makeRoom() end
      call('ZADD', CHUNKS, 0, name)
    end
  end
  -- Of the two bits, the first in Redis' order is the record's.
  local bit = reference.sequence % CHUNK_SEQUENCES * 2 + (by == RECORD and 0 or 1)
  call('SETBIT', BITS .. name, bit, 1)
end

-- Never below nothing: what was taken out once cannot make room for others.
local function addPending(values, share, amount)
  local at = SHARES + share * SHARE_FIELDS
  if values[at] then values[at + PENDING] = math.max(0, values[at + PENDING] + amount) end
end

-- Buckets whose floor is due.
local taken = {}

local function floorTaken()
  for at = #taken, 1, -1 do
    floor(taken[at])
    taken[at] = nil
  end
end

-- True for what a decision took before the bucket forgot: it is out already.
local function isForgotten(values, ofEpoch, ofSequence)
  local forgetting = values[FORGETTING]
  if not forgetting or ofEpoch > forgetting[LAST_EPOCH] then return false end
  return ofEpoch < forgetting[LAST_EPOCH] or ofSequence <= forgetting[LAST_SEQUENCE]
end

-- Takes a charge of a decision out of its bucket, but for the units that `staysOf` says, if it is given: those are spent.
local function takeCharge(ofEpoch, ofSequence, window, index, share, amount, wasHeld, staysOf)
  local ended = call('HGET', PLACES, window)
  if not ended then return end
  local endMs, place, series = ended:match('^(%S+) (%S+ (.*))$')
  local subject = call('HGET', NAMES .. place, index)
  local entry = subject and find(place, subject)
  if not entry then return end
  -- What drains was taken along.
  local level = entry.values[LEVEL]
  if not level and tonumber(endMs) <= nowMs then return end
  if level then entry = findDraining(place, subject, level[KEPT], level[STRETCHES]) end
  -- Asked also for what a reset has forgotten: it is nobody's no more than before.
  local stays = staysOf and staysOf(series, subject, amount) or 0
  if not entry or isForgotten(entry.values, ofEpoch, ofSequence) then return end
  local values = entry.values
  if wasHeld then values[RESERVED] = math.max(0, values[RESERVED] - amount) end
  local change = wasHeld and stays or stays - amount
  if change ~= 0 then
    if values[LEVEL] then drainOn(values) end
    addPending(values, share, change)
  end
  touch(entry)
  if values[LEVEL] then taken[#taken + 1] = values end
end

-- In which epoch the call of a check spent more: sequences go on from epoch to epoch.
local function joinedIn(reference, joined)
  local found = epoch
  for _, name in ipairs(reference.epoch == epoch and {} or call('HKEYS', EPOCHS)) do
    local number = tonumber(name)
    if number >= reference.epoch and number < found and joined <= epochOf(number)[1] then found = number end
  end
  return found
end

-- Gives back what is held of the decision's charges.
local function takeHeld(reference)
  local charges = reference.charges
  for at = 1, #charges, CHARGE_FIELDS do
    if charges[at + 4] == 1 then
      local window, index, share, amount = unpack(charges, at, at + 3)
      takeCharge(reference.epoch, reference.sequence, window, index, share, amount, true)
    end
  end
end

-- Takes out what the decision took, as far as it is in the counters. When the true cost is spent, `floorTaken` is due.
local function takeOut(reference, staysOf)
  if not isCharged(reference) then return end
  local stillHeld = reference.isHeld and isHeld(reference)
  local charges = reference.charges
  for at = 1, #charges, CHARGE_FIELDS do
    local wasHeld, joined = charges[at + 4] == 1, -charges[at + 4]
    local made = joined > 0 and { epoch = joinedIn(reference, joined), sequence = joined } or reference
    -- What joined and was given back by itself is out already, as is what was held and has expired.
    local isOut = joined > 0 and stateOf(made) ~= OPEN
    if not isOut and (stillHeld or not wasHeld) then
      local window, index, share, amount = unpack(charges, at, at + 3)
      takeCharge(made.epoch, made.sequence, window, index, share, amount, wasHeld, staysOf)
    end
  end
end
