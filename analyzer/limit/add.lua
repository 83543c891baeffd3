-- Spends what was decided elsewhere, as checks do: what a limiter let pass while it could not ask, and what a store that
-- was lost is known to have held.
-- ARGV: clock; `add` or `raise`; the id of what is added, which happens once, or an empty text; the places and the
-- costs; most buckets; before when nothing of what is added was decided. A cost is number of the place, subject, end of the
-- window, amount, gateway, what drains, last reset. `raise` spends only what a bucket lacks of the amount.
-- Answers buckets.

local isRaised, id, bucketsMax, beganMs = ARGV[2] == 'raise', ARGV[3], tonumber(ARGV[5]), tonumber(ARGV[6])
local COST_FIELDS = 7
if id ~= '' and not call('SET', ADDED .. id, '', 'PX', ADDED_MS, 'NX') then return toDoubles({ bucketCount }) end

-- When the bucket was raised last, and the units that it has lacked by then; none that a reset made it forget.
local function raisedOf(entry)
  local packed = call('HGET', RAISED .. entry.place, entry.subject)
  if not packed then return 0, 0 end
  local raisedMs, units = cmsgpack.unpack(packed)
  return raisedMs, isForgiven(entry, raisedMs) and 0 or units
end

local function keepRaised(entry, endMs, raisedMs, units)
  local key = RAISED .. entry.place
  call('HSET', key, entry.subject, cmsgpack.pack(raisedMs, units))
  call('PEXPIRE', key, endMs - nowMs + EXPIRY_MS)
end

-- Sums of decisions, to which a bucket is raised, tell of what limiters let pass alone before they add it. What was let
-- pass earlier than that is taken for what was raised, as far as that goes: a later pass raises what it was not.
local function spend(entry, endMs, gateway, amount)
  local values = entry.values
  local share = shareOf(values, gateway)
  values[share + PENDING] = math.max(0, values[share + PENDING] + amount)
  local raisedMs, units = raisedOf(entry)
  local known = math.min(amount, units)
  if known <= 0 or beganMs > raisedMs then return end
  local nobody = shareOf(values, '')
  values[nobody + PENDING] = math.max(0, values[nobody + PENDING] - known)
  keepRaised(entry, endMs, raisedMs, units - known)
end

local function raise(entry, endMs, amount)
  local values = entry.values
  local lack = amount - usedOf(values)
  if lack <= 0 then return end
  local nobody = shareOf(values, '')
  -- Beyond what nobody's checks and nobody's records count together already: the larger of them.
  local pending = usedOf(values) - values[SETTLED] + lack
  for at = SHARES, #values, SHARE_FIELDS do
    if at ~= nobody then pending = pending - values[at + PENDING] end
  end
  values[nobody + PENDING] = pending
  local _, units = raisedOf(entry)
  keepRaised(entry, endMs, nowMs, units + lack)
end

local places, costs = unpack(cjson.decode(ARGV[4]))
for at = 1, #costs, COST_FIELDS do
  local place, subject, endMs = places[costs[at]], costs[at + 1], costs[at + 2]
  local amount, gateway, drains, sinceMs = unpack(costs, at + 3, at + 6)
  if isOpen(place, endMs, subject, drains, bucketsMax) then
    local entry = obtainBucket(place, endMs, subject, false, drains, sinceMs)
    if isRaised then raise(entry, endMs, amount) else spend(entry, endMs, gateway, amount) end
    floor(entry.values)
    touch(entry)
  end
end
finish()
return toDoubles({ bucketCount })
