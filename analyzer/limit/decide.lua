-- Decides requests one after the other, each of them whole or not at all.
-- ARGV: clock; the places and the requests; the instant after which nobody waits for the answer; subjects, and
-- requests, that there is room for. A request is verb, gateway, request key, whether it is dry, expiry; then its
-- claims, each of them number of the place, subject, end of the window, limit, cost, whether it is spent, whether it is
-- enforced.
-- Answers epoch, buckets; then for each request its result and sequence, and for each claim used, reserved, whether it
-- fitted, and the window, bucket and share that were charged. An empty answer: it came too late, and nothing was spent.

if nowMs > tonumber(ARGV[3]) then return '' end
local bucketsMax, requestsMax = tonumber(ARGV[4]), tonumber(ARGV[5])
local REQUEST_FIELDS, CLAIM_FIELDS, STANDING_FIELDS = 5, 7, 6
local places, requests = unpack(cjson.decode(ARGV[2]))
local answer = { epoch, 0 }

-- Spends or holds what the request claims, and says so in its standings, which begin after `standing`.
local function charge(request, standing)
  local gateway, holds = request[2], request[1] == 'reserve'
  local charges = {}
  for at = REQUEST_FIELDS + 1, #request, CLAIM_FIELDS do
    local cost = request[at + 4]
    if request[at + 5] and cost ~= 0 then
      local entry = obtain(places[request[at]], request[at + 2], request[at + 1])
      local values = entry.values
      local share = shareOf(values, gateway)
      if holds then values[RESERVED] = values[RESERVED] + cost
      else values[share + PENDING] = math.max(0, values[share + PENDING] + cost) end
      touch(entry)
      local window, index, number = values[WINDOW], values[INDEX], (share - SHARES) / SHARE_FIELDS
      answer[standing + 1], answer[standing + 2] = usedOf(values), values[RESERVED]
      answer[standing + 4], answer[standing + 5], answer[standing + 6] = window, index, number
      local size = #charges
      charges[size + 1], charges[size + 2], charges[size + 3], charges[size + 4] = window, index, number, cost
    end
    standing = standing + STANDING_FIELDS
  end
  return charges
end

-- Remembers the decision by its request, and as a reservation. The oldest request makes room where there is none.
local function remember(request, charges)
  local holds, requestKey, expiresAtMs = request[1] == 'reserve', request[3], request[5]
  if not holds and requestKey == '' then return end
  local packed = cmsgpack.pack(epoch, sequence, holds, nowMs, requestKey, unpack(charges))
  if holds then
    call('HSET', HELD, sequence, packed)
    call('ZADD', HELD_ENDS, expiresAtMs or nowMs, sequence)
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
  local result, fresh = ALLOWED, 0
  local head = #answer
  local standing = head + 2
  answer[head + 1], answer[head + 2] = 0, 0
  for at = REQUEST_FIELDS + 1, #request, CLAIM_FIELDS do
    local entry = find(places[request[at]], request[at + 1])
    local used, reserved = 0, 0
    if entry then used, reserved = usedOf(entry.values), entry.values[RESERVED]
    else fresh = fresh + 1 end
    local fits = fitsLimit(used + reserved, request[at + 4], request[at + 3])
    if not fits and request[at + 6] and verb ~= 'record' then result = DENIED end
    answer[standing + 1], answer[standing + 2], answer[standing + 3] = used, reserved, fits and 1 or 0
    answer[standing + 4], answer[standing + 5], answer[standing + 6] = 0, 0, 0
    standing = standing + STANDING_FIELDS
  end
  if result == ALLOWED and not isDry then
    if fresh > 0 and bucketCount + fresh > bucketsMax then
      result = NO_ROOM_FOR_BUCKETS
    elseif verb == 'reserve' and call('HLEN', HELD) >= RESERVATIONS_MAX then
      result = NO_ROOM_FOR_RESERVATIONS
    else
      sequence = sequence + 1
      hasNews = true
      remember(request, charge(request, head + 2))
      answer[head + 2] = sequence
    end
  end
  answer[head + 1] = result
end

for _, request in ipairs(requests) do decide(request) end
finish()
answer[2] = bucketCount
return toDoubles(answer)
