-- Decides requests one after the other, each of them whole or not at all.
-- ARGV: clock; the places and the requests; the instant after which nobody waits for the answer; subjects, and
-- requests, that there is room for. A request is verb, gateway, request key, whether it is dry, expiry, note; then its
-- claims, each of them number of the place, subject, end of the window, limit, cost, whether it is spent, whether it is
-- enforced, whether a check holds it, slots, what drains.
-- Answers epoch, buckets; then for each request its result and sequence, and for each claim used, reserved, whether it
-- fitted, when it will, and the window, bucket and share that were charged. An empty answer: it came too late, and nothing was spent.

if nowMs > tonumber(ARGV[3]) then return '' end
local bucketsMax, requestsMax = tonumber(ARGV[4]), tonumber(ARGV[5])
local REQUEST_FIELDS, CLAIM_FIELDS, STANDING_FIELDS = 6, 10, 7
local places, requests = unpack(cjson.decode(ARGV[2]))
local answer = { epoch, 0 }

-- Whether the claim at `at` is taken, and then whether it is held.
local function chargeOf(request, at)
  if not request[at + 5] or request[at + 4] == 0 then return false, false end
  local verb, isHeld = request[1], request[at + 7]
  if verb == 'reserve' then return true, true end
  return not isHeld or verb == 'check', isHeld
end

local function standingAt(request, at)
  local place, subject, limit, cost = places[request[at]], request[at + 1], request[at + 3], request[at + 4]
  return standingOf(place, subject, cost, limit, request[at + 8], request[at + 9])
end

-- Spends or holds what the request claims, and says so in its standings, which begin after `standing`.
local function charge(request, standing)
  local gateway = request[2]
  local charges = {}
  for at = REQUEST_FIELDS + 1, #request, CLAIM_FIELDS do
    local cost = request[at + 4]
    local isTaken, isHeld = chargeOf(request, at)
    if isTaken then
      local place, subject, endMs = places[request[at]], request[at + 1], request[at + 2]
      local entry = obtainBucket(place, endMs, subject, request[at + 8], request[at + 9])
      local values = entry.values
      local share = shareOf(values, gateway)
      local usedBefore = usedOf(values)
      if isHeld then values[RESERVED] = values[RESERVED] + cost
      else values[share + PENDING] = math.max(0, values[share + PENDING] + cost) end
      floor(values)
      touch(entry)
      local window, index, number = values[WINDOW], values[INDEX], (share - SHARES) / SHARE_FIELDS
      if not request[at + 8] then
        answer[standing + 1], answer[standing + 2] = standingAt(request, at)
      else
        -- The other slots are as they were.
        answer[standing + 1] = answer[standing + 1] + (usedOf(values) - usedBefore)
        if isHeld then answer[standing + 2] = answer[standing + 2] + cost end
      end
      answer[standing + 5], answer[standing + 6], answer[standing + 7] = window, index, number
      local size = #charges
      charges[size + 1], charges[size + 2], charges[size + 3] = window, index, number
      charges[size + 4], charges[size + 5] = cost, isHeld and 1 or 0
    end
    standing = standing + STANDING_FIELDS
  end
  return charges
end

-- Remembers the decision by its request, and as a reservation. The oldest request makes room where there is none.
local function remember(request, charges, holds)
  local requestKey, expiresAtMs, note = request[3], request[5] or nowMs, request[1] == 'reserve' and request[6]
  if not holds and requestKey == '' then return end
  local packed = cmsgpack.pack(epoch, sequence, holds, nowMs, requestKey, unpack(charges))
  if holds then
    call('HSET', HELD, sequence, packed)
    call('ZADD', HELD_ENDS, expiresAtMs, sequence)
    if note then
      call('HSET', NOTES, sequence, cmsgpack.pack(epoch, nowMs, expiresAtMs, note))
      call('ZADD', NOTED, sequence, sequence)
    end
  end
  if requestKey == '' then return end
  call('HSET', REQUESTS, requestKey, packed)
  call('ZADD', REQUEST_ORDER, sequence, requestKey)
  if call('ZCARD', REQUEST_ORDER) <= requestsMax then return end
  local oldest = call('ZPOPMIN', REQUEST_ORDER)[1]
  call('HDEL', REQUESTS, oldest)
end

local function decide(request)
  local verb, isDry = request[1], request[4]
  local result, fresh, holds = ALLOWED, 0, verb == 'reserve'
  local head = #answer
  local standing = head + 2
  answer[head + 1], answer[head + 2] = 0, 0
  for at = REQUEST_FIELDS + 1, #request, CLAIM_FIELDS do
    local address = addressAt(places[request[at]], request[at + 2], request[at + 8], request[at + 9])
    if not find(address, request[at + 1]) then fresh = fresh + 1 end
    local _, isHeld = chargeOf(request, at)
    holds = holds or isHeld
    local used, reserved, fits, fitsAtMs = standingAt(request, at)
    if fits == 0 and request[at + 6] and verb ~= 'record' then result = DENIED end
    answer[standing + 1], answer[standing + 2], answer[standing + 3], answer[standing + 4] = used, reserved, fits, fitsAtMs
    answer[standing + 5], answer[standing + 6], answer[standing + 7] = 0, 0, 0
    standing = standing + STANDING_FIELDS
  end
  if result == ALLOWED and not isDry then
    if fresh > 0 and bucketCount + fresh > bucketsMax then
      result = NO_ROOM_FOR_BUCKETS
    elseif holds and call('HLEN', HELD) >= RESERVATIONS_MAX then
      result = NO_ROOM_FOR_RESERVATIONS
    else
      sequence = sequence + 1
      hasNews = true
      remember(request, charge(request, head + 2), holds)
      answer[head + 2] = sequence
    end
  end
  answer[head + 1] = result
end

for _, request in ipairs(requests) do decide(request) end
finish()
answer[2] = bucketCount
return toDoubles(answer)
