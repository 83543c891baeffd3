-- Spends what was decided elsewhere, as checks do: what a limiter let pass while it could not ask, and what a store that
-- was lost is known to have held.
-- ARGV: clock; `add` or `raise`; the id of what is added, which happens once, or an empty text; the places and the
-- costs; most buckets. A cost is number of the place, subject, end of the window, amount, gateway, what drains,
-- last reset. `raise`
-- spends only what a bucket lacks of the amount.
-- Answers buckets.

local isRaised, id, bucketsMax = ARGV[2] == 'raise', ARGV[3], tonumber(ARGV[5])
local COST_FIELDS = 7
if id ~= '' and not call('SET', ADDED .. id, '', 'PX', ADDED_MS, 'NX') then return toDoubles({ bucketCount }) end

local function spend(values, gateway, amount)
  local share = shareOf(values, gateway)
  values[share + PENDING] = math.max(0, values[share + PENDING] + amount)
end

local function raise(values, amount)
  local lack = amount - usedOf(values)
  if lack <= 0 then return end
  local nobody = shareOf(values, '')
  -- Beyond what nobody's checks and nobody's records count together already: the larger of them.
  local pending = usedOf(values) - values[SETTLED] + lack
  for at = SHARES, #values, SHARE_FIELDS do
    if at ~= nobody then pending = pending - values[at + PENDING] end
  end
  values[nobody + PENDING] = pending
end

local places, costs = unpack(cjson.decode(ARGV[4]))
for at = 1, #costs, COST_FIELDS do
  local place, subject, endMs = places[costs[at]], costs[at + 1], costs[at + 2]
  local amount, gateway, drains, sinceMs = unpack(costs, at + 3, at + 6)
  if isOpen(place, endMs, subject, drains, bucketsMax) then
    local entry = obtainBucket(place, endMs, subject, false, drains, sinceMs)
    local values = entry.values
    if isRaised then raise(values, amount) else spend(values, gateway, amount) end
    floor(values)
    touch(entry)
  end
end
finish()
return toDoubles({ bucketCount })
