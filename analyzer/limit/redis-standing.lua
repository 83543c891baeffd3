-- Which buckets a claim is about (standing.ts), and what drains (draining.ts). Slots are a list of every and length; what
-- drains, of amount, period, kept and, where the rate changes, its steps, and stretches, where it is not one. Both are false
-- where there are none.

local function startAt(atMs, everyMs)
  return math.floor(atMs / everyMs) * everyMs
end

-- The place of the same series with another begin.
local function placeAt(place, startMs)
  return string.format('%.0f', startMs) .. place:match('^%S+(.*)$')
end

-- Where is spent now: the place, and the end of its window.
local function addressAt(place, endMs, slots, drains)
  if not slots and not drains then return place, endMs end
  local everyMs = slots and slots[1] or drains[3]
  local startMs = startAt(nowMs, everyMs)
  return placeAt(place, startMs), startMs + everyMs + (slots and slots[2] or everyMs * (drains[5] or 1))
end

-- The bucket that drains, wherever it was taken along to.
local function findDraining(place, subject, keptMs, stretches)
  local startMs = startAt(nowMs, keptMs)
  for back = 0, stretches or 1 do
    local entry = find(placeAt(place, startMs - back * keptMs), subject)
    if entry then return entry end
  end
end

local function drainedBetween(amount, steps, fromMs, toMs)
  local drained, endMs = 0, toMs
  for at = steps and #steps or 0, 2, -1 do
    local beginMs = math.min(endMs, math.max(fromMs, steps[at][1]))
    drained = drained + (endMs - beginMs) * steps[at][2]
    endMs = beginMs
  end
  return drained + (endMs - fromMs) * (steps and steps[1][2] or amount)
end

-- The level now, in units times milliseconds. What was told before holds until the first step of what is told now.
local function levelAt(values, drains)
  local level, steps = values[LEVEL], drains[4]
  local atMs, drained = level[REST_AT], 0
  if atMs < nowMs then
    local toldMs = steps and math.min(nowMs, math.max(atMs, steps[1][1])) or atMs
    drained = drainedBetween(level[AMOUNT], level[STEPS], atMs, toldMs) + drainedBetween(drains[1], steps, toldMs, nowMs)
  end
  return math.max(0, usedOf(values) * level[PERIOD] - level[REST] - drained)
end

-- Takes what has drained out of the bucket. When something is taken out of it and spent in it, `floor` is due at the end.
local function drain(values, drains)
  local level = values[LEVEL]
  if level[REST_AT] < nowMs then
    local gone = usedOf(values) * level[PERIOD] - levelAt(values, drains)
    local whole = math.floor(gone / level[PERIOD])
    values[SETTLED] = values[SETTLED] - whole
    level[REST] = gone - whole * level[PERIOD]
    level[REST_AT] = nowMs
  end
  level[AMOUNT], level[STEPS], level[STRETCHES] = drains[1], drains[4], drains[5]
end

-- The same at the rate that was told last.
local function drainOn(values)
  local level = values[LEVEL]
  drain(values, { level[AMOUNT], level[PERIOD], level[KEPT], level[STEPS], level[STRETCHES] })
end

-- What was taken out and had drained already makes no room for others.
local function floor(values)
  local level = values[LEVEL]
  if not level then return end
  local used = usedOf(values)
  if used * level[PERIOD] >= level[REST] then return end
  values[SETTLED] = values[SETTLED] - used
  level[REST] = 0
end

-- The bucket to spend in, made if need be; what drains has done so, and what a reset forgets is forgotten.
local function obtainBucket(place, endMs, subject, slots, drains, sinceMs)
  local address, addressEndMs = addressAt(place, endMs, slots, drains)
  local before = drains and findDraining(place, subject, drains[3], drains[5])
  if before then forgetBefore(before, sinceMs) end
  local entry = obtain(address, addressEndMs, subject)
  forgetBefore(entry, sinceMs)
  if not drains then return entry end
  local values = entry.values
  if before and before ~= entry then
    values[SETTLED], values[RESERVED] = before.values[SETTLED], before.values[RESERVED]
    values[LEVEL] = before.values[LEVEL] and { unpack(before.values[LEVEL]) }
    values[FORGETTING] = before.values[FORGETTING]
    for at = SHARES, #before.values do values[at] = before.values[at] end
  end
  values[LEVEL] = values[LEVEL] or { 0, nowMs, drains[1], drains[2], drains[3] }
  drain(values, drains)
  return entry
end

-- False for a window that has ended, and for a subject that would be one more than there may be.
local function isOpen(place, endMs, subject, drains, bucketsMax)
  local address, addressEndMs = addressAt(place, endMs, false, drains)
  return addressEndMs > nowMs and (bucketCount < bucketsMax or find(address, subject))
end

local function slidingStanding(place, subject, cost, limit, slots, sinceMs)
  local everyMs, lengthMs = unpack(slots)
  local used, reserved = 0, 0
  local taken = {}
  local fromMs = math.max(startAt(nowMs - lengthMs, everyMs), startAt(sinceMs, everyMs))
  for startMs = fromMs, startAt(nowMs, everyMs), everyMs do
    local entry = find(placeAt(place, startMs), subject)
    if entry and not isOutdated(entry, sinceMs) then
      local usedHere = usedOf(entry.values)
      used, reserved = used + usedHere, reserved + entry.values[RESERVED]
      taken[#taken + 1] = { startMs + everyMs + lengthMs, usedHere + entry.values[RESERVED] }
    end
  end
  if fitsLimit(used + reserved, cost, limit) then return used, reserved, 1, 0 end
  local left = used + reserved
  for _, slot in ipairs(taken) do
    left = left - slot[2]
    if fitsLimit(left, cost, limit) then return used, reserved, 0, slot[1] end
  end
  return used, reserved, 0, 0
end

local function drainingStanding(place, subject, cost, limit, drains, sinceMs)
  local amount, periodMs, keptMs, _, stretches = unpack(drains)
  local entry = findDraining(place, subject, keptMs, stretches)
  if entry and isOutdated(entry, sinceMs) then entry = nil end
  local level = entry and entry.values[LEVEL] and levelAt(entry.values, drains) or 0
  local reserved = entry and entry.values[RESERVED] or 0
  local over = level + (reserved + cost - limit) * periodMs
  local fits, mayFit, waitMs
  if cost > 0 then
    fits, mayFit, waitMs = over <= 0, reserved + cost <= limit, math.ceil(over / amount)
  else
    fits, mayFit, waitMs = over < 0, reserved < limit, math.floor(over / amount) + 1
  end
  local fitsAtMs = not fits and amount ~= 0 and mayFit and nowMs + waitMs or 0
  -- What takes longer to drain is forgotten by then.
  if entry then fitsAtMs = math.min(fitsAtMs, tonumber(entry.place:match('^%S+')) + keptMs * (1 + (stretches or 1))) end
  return level / periodMs, reserved, fits and 1 or 0, fitsAtMs
end

-- What is taken of a claim that slides or drains: used, reserved, 1 when it fits beside that, and when it will (0: never).
local function standingOf(place, subject, cost, limit, slots, drains, sinceMs)
  if slots then return slidingStanding(place, subject, cost, limit, slots, sinceMs) end
  return drainingStanding(place, subject, cost, limit, drains, sinceMs)
end
