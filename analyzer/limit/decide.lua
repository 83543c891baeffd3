-- Decides requests one after the other, each of them whole or not at all.
-- ARGV: clock; the kinds of claims, the manners of requests, and the requests; the instant after which nobody waits for the
-- answer; subjects, and requests, that there is room for. A kind is place, end of the window, limit, whether it is spent,
-- whether it is enforced, whether a check holds it, slots, what drains, last reset, whether it is noted; a manner is verb, gateway, whether it is dry. A
-- request is number of its manner, request key, expiry, note, who calls; then for each claim number of its kind, subject, cost.
-- Answers epoch, buckets; then for each request its result and sequence, and for each claim used, reserved, whether it
-- fitted, when it will, and the window (-1: it would be a new bucket), bucket and share that were charged. An empty answer: it
-- came too late, and nothing was spent.

local notAfterMs = tonumber(ARGV[3])
-- Whoever waits for so long has not seen yet that the clock was set back, and what it holds it would hold until then.
if nowMs > notAfterMs or notAfterMs - nowMs > STEP_BACK_MS_MAX then return '' end
local bucketsMax, requestsMax = tonumber(ARGV[4]), tonumber(ARGV[5])
local REQUEST_FIELDS, CLAIM_FIELDS, STANDING_FIELDS = 5, 3, 7
local kinds, manners, requests = unpack(cjson.decode(ARGV[2]))
local answer = { epoch, 0 }

-- Of the kinds that neither slide nor drain: the buckets of their place.
local found = {}

-- Reads the buckets of such claims, those of one place at once.
local function readBuckets()
  local subjects = {}
  for number, kind in ipairs(kinds) do
    if not kind[7] and not kind[8] then
      found[number] = entriesOf(kind[1])
      subjects[kind[1]] = {}
    end
  end
  for _, request in ipairs(requests) do
    for at = REQUEST_FIELDS + 1, #request, CLAIM_FIELDS do
      local number, subject = request[at], request[at + 1]
      local ofPlace = found[number]
      if ofPlace and ofPlace[subject] == nil then
        ofPlace[subject] = false
        local ofKind = subjects[kinds[number][1]]
        ofKind[#ofKind + 1] = subject
      end
    end
  end
  for place, list in pairs(subjects) do
    local ofPlace = entries[place]
    for from = 1, #list, PIECE do
      local packed = call('HMGET', bucketKeys[place], unpack(list, from, math.min(from + PIECE - 1, #list)))
      for at = 1, #packed do
        local subject = list[from + at - 1]
        ofPlace[subject] = toEntry(place, subject, packed[at])
      end
    end
  end
end

-- Whether something of the claim is taken, and whether that is held.
local function chargeOf(verb, kind, cost)
  if not kind[4] then return false, false end
  if cost == 0 then return kind[10] and verb == 'check', false end
  if verb == 'reserve' then return true, true end
  if not kind[6] then return true, false end
  return verb == 'check', verb == 'check'
end

-- Used, reserved, 1 when it fits, and when it will; then whether the bucket is there.
local function standingAt(number, subject, cost)
  local kind, ofPlace = kinds[number], found[number]
  local limit = kind[3]
  if ofPlace then
    local entry, used, reserved = ofPlace[subject], 0, 0
    if entry and not isOutdated(entry, kind[9]) then
      local values = entry.values
      used, reserved = usedOf(values), values[RESERVED]
    end
    return used, reserved, fitsLimit(used + reserved, cost, limit) and 1 or 0, 0, entry
  end
  local place, slots, drains = kind[1], kind[7], kind[8]
  local isThere = find(addressAt(place, kind[2], slots, drains), subject)
  local used, reserved, fits, fitsAtMs = standingOf(place, subject, cost, limit, slots, drains, kind[9])
  return used, reserved, fits, fitsAtMs, isThere
end

-- Takes out of the slots what the gateway has spent in them, the latest first.
local function giveBack(place, subject, amount, gateway, slots, sinceMs)
  local everyMs, lengthMs = unpack(slots)
  for startMs = startAt(nowMs, everyMs), startAt(nowMs - lengthMs, everyMs), -everyMs do
    local entry = find(placeAt(place, startMs), subject)
    local values = entry and not isOutdated(entry, sinceMs) and entry.values or {}
    for share = SHARES, #values, SHARE_FIELDS do
      local given = values[share + GATEWAY] == gateway and math.min(amount, values[share + PENDING]) or 0
      if given > 0 then
        values[share + PENDING] = values[share + PENDING] - given
        amount = amount - given
        touch(entry)
      end
    end
  end
end

-- Takes the claim, and says so in its standing, which begins after `standing`. Answers window, bucket and share.
local function take(number, subject, cost, isHeld, gateway, standing, expiresAtMs)
  local kind, ofPlace = kinds[number], found[number]
  local entry = ofPlace and ofPlace[subject]
  if entry then forgetBefore(entry, kind[9]) else entry = obtainBucket(kind[1], kind[2], subject, kind[7], kind[8], kind[9]) end
  local values = entry.values
  local share = shareOf(values, gateway)
  local usedBefore = kind[7] and usedOf(values)
  if isHeld then
    values[RESERVED] = values[RESERVED] + cost
  elseif cost < 0 and kind[7] then
    giveBack(kind[1], subject, -cost, gateway, kind[7], kind[9])
  else
    local pending = values[share + PENDING] + cost
    values[share + PENDING] = pending > 0 and pending or 0
  end
  if values[LEVEL] then floor(values) end
  touch(entry)
  -- Elsewhere a window that ends takes along what is held in it.
  if isHeld and kind[8] then keepUntil(entry, expiresAtMs) end
  if usedBefore and cost >= 0 then
    -- The other slots are as they were.
    answer[standing + 1] = answer[standing + 1] + (usedOf(values) - usedBefore)
    if isHeld then answer[standing + 2] = answer[standing + 2] + cost end
  elseif ofPlace then
    answer[standing + 1], answer[standing + 2] = usedOf(values), values[RESERVED]
  else
    answer[standing + 1], answer[standing + 2] = standingAt(number, subject, cost)
  end
  local window, index, shareNumber = values[WINDOW], values[INDEX], (share - SHARES) / SHARE_FIELDS
  answer[standing + 5], answer[standing + 6], answer[standing + 7] = window, index, shareNumber
  return window, index, shareNumber
end

-- Takes all claims. Answers what was charged, where that is to be `remembered`.
local function charge(request, manner, standing, remembered)
  local charges = remembered and {}
  for at = REQUEST_FIELDS + 1, #request, CLAIM_FIELDS do
    local number, subject, cost = request[at], request[at + 1], request[at + 2]
    local isTaken, isHeld = chargeOf(manner[1], kinds[number], cost)
    if isTaken then
      local window, index, share = take(number, subject, cost, isHeld, manner[2], standing, request[3] or nowMs)
      if charges then
        local size = #charges
        charges[size + 1], charges[size + 2], charges[size + 3] = window, index, share
        charges[size + 4], charges[size + 5] = cost, isHeld and 1 or 0
      end
    end
    standing = standing + STANDING_FIELDS
  end
  return charges
end

-- What the call of a check has spent later is settled together with it (ledger.ts), and the check holds what it does until
-- then. Answers whether it will be.
local function join(requestKey, caller, charges, heldUntilMs)
  local check, listed = findListed({ requestKey }, caller)
  if not check then return false end
  local madeIn, made = check[1], check[2]
  if call('HEXISTS', NOTES, made) == 1 then return false end
  if #check - 5 + #charges > JOINED_CHARGES_MAX * 5 then return false end
  if madeIn ~= epoch then
    local durable, floorSequence = cmsgpack.unpack(call('HGET', EPOCHS, madeIn) or cmsgpack.pack(-1, 0))
    if made > durable or made < floorSequence then return false end
  end
  if bitsOf(madeIn, made) ~= 0 then return false end
  for _, field in ipairs(charges) do check[#check + 1] = field end
  -- None of them is held: in that place is the decision that took them, below nothing.
  for at = #check - #charges + 5, #check, 5 do check[at] = -sequence end
  call('HSET', REQUESTS, listed, cmsgpack.pack(unpack(check)))
  call('ZADD', HELD_ENDS, 'XX', heldUntilMs, made)
  return true
end

-- Remembers the decision by its request, and as a reservation. The oldest request makes room where there is none. Answers
-- whether it joined a check instead.
local function remember(request, verb, charges, holds)
  local requestKey, expiresAtMs, note, caller = request[2], request[3] or nowMs, verb == 'reserve' and request[4], request[5]
  if verb == 'record' then
    if requestKey ~= '' and join(requestKey, caller, charges, expiresAtMs) then return true end
    -- That a call which nobody has checked has ended, and took nothing, is nothing to remember.
    if #charges == 0 then return false end
  end
  local packed = cmsgpack.pack(epoch, sequence, holds, nowMs, caller, unpack(charges))
  if holds then
    call('HSET', HELD, sequence, packed)
    call('ZADD', HELD_ENDS, expiresAtMs, sequence)
    if note then
      call('HSET', NOTES, sequence, cmsgpack.pack(epoch, nowMs, expiresAtMs, note))
      call('ZADD', NOTED, sequence, sequence)
    end
  end
  if requestKey == '' then return end
  if call('HSETNX', REQUESTS, requestKey, packed) == 0 then
    local listed = { cmsgpack.unpack(call('HGET', REQUESTS, requestKey)) }
    if listed[5] ~= caller then requestKey = caller .. requestKey end
    call('HSET', REQUESTS, requestKey, packed)
  end
  call('ZADD', REQUEST_ORDER, sequence, requestKey)
  if call('ZCARD', REQUEST_ORDER) <= requestsMax then return end
  local oldest = call('ZPOPMIN', REQUEST_ORDER)[1]
  call('HDEL', REQUESTS, oldest)
end

local function decide(request)
  local manner = manners[request[1]]
  local verb, isDry = manner[1], manner[3]
  local result, fresh, holds = ALLOWED, 0, verb == 'reserve'
  local head = #answer
  local standing = head + 2
  answer[head + 1], answer[head + 2] = 0, 0
  for at = REQUEST_FIELDS + 1, #request, CLAIM_FIELDS do
    local number, subject, cost = request[at], request[at + 1], request[at + 2]
    local kind = kinds[number]
    if kind[6] then
      local _, isHeld = chargeOf(verb, kind, cost)
      holds = holds or isHeld
    end
    local used, reserved, fits, fitsAtMs, isThere = standingAt(number, subject, cost)
    if not isThere then fresh = fresh + 1 end
    if fits == 0 and kind[5] and verb ~= 'record' then result = DENIED end
    answer[standing + 1], answer[standing + 2], answer[standing + 3], answer[standing + 4] = used, reserved, fits, fitsAtMs
    -- Should there be no room for it, this says so.
    answer[standing + 5], answer[standing + 6], answer[standing + 7] = isThere and 0 or -1, 0, 0
    standing = standing + STANDING_FIELDS
  end
  if result == ALLOWED and not isDry then
    if fresh > 0 and bucketCount + fresh > bucketsMax then
      result = NO_ROOM_FOR_BUCKETS
    elseif holds and call('HLEN', HELD) >= RESERVATIONS_MAX then
      result = NO_ROOM_FOR_RESERVATIONS
    else
      hasNews = true
      local remembered = holds or request[2] ~= ''
      local charges = charge(request, manner, head + 2, remembered)
      sequence = sequence + 1
      if remembered and remember(request, verb, charges, holds) then result = JOINED end
      answer[head + 2] = sequence
    end
  end
  answer[head + 1] = result
end

readBuckets()
for _, request in ipairs(requests) do decide(request) end
finish()
answer[2] = bucketCount
return toDoubles(answer)
