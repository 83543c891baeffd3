-- Applies call records, and moves the settler's position with them.
-- ARGV: clock; the places and the effects; series whose charges stay, and those of calls under way; name of the partition; position it has to be at,
-- as it was written, `-` for none, empty for any; position it is at afterwards; most buckets. An effect is gateway, its request keys,
-- epoch, sequence, whether anything may be held, its charges (epoch 0: none), whether it is nameless, who calls, then its costs, each of
-- them number of the place, subject, end of the window, amount, whether only records count, what drains, last reset, when the call began.
-- Answers linked, unlinked, repeated, buckets; an empty text when the position is another one.

local partition, expected, bucketsMax = ARGV[4], ARGV[5], tonumber(ARGV[7])
if expected ~= '' and (call('HGET', POSITIONS, partition) or '-') ~= expected then return '' end

local EFFECT_FIELDS, SPEND_FIELDS = 8, 8
local LINKED, UNLINKED_RECORD, REPEATED = 1, 2, 3
local places, effects = unpack(cjson.decode(ARGV[2]))
local function toSet(list)
  local set = {}
  for _, member in ipairs(list) do set[member] = true end
  return set
end
local seriesLists = cjson.decode(ARGV[3])
local kept, held = toSet(seriesLists[1]), toSet(seriesLists[2])

local function seriesAt(place) return place:match('^%S+ (.*)$') end

local function keptOf(series, _, amount) return kept[series] and amount or nil end

-- What stays of a check's charges when a nameless record comes: the check knew whose call it was (staying.ts). Answers
-- what `takeOut` asks, and the series in which the record is then only noted.
local function stayingOf(effect)
  local spends, stayed = {}, {}
  for at = EFFECT_FIELDS + 1, #effect, SPEND_FIELDS do
    local series = seriesAt(places[effect[at]])
    spends[series] = spends[series] or at
  end
  local function staysOf(series, subject, amount)
    if kept[series] then return amount end
    if held[series] then return nil end
    local at = spends[series]
    if not at then return amount end
    if effect[at + 1] == subject then return nil end
    local isFirst = not stayed[series]
    stayed[series] = true
    return isFirst and effect[at + 3] or 0
  end
  return staysOf, stayed
end

-- The check that carried the record's request id.
local function findByRequest(requestKeys, caller)
  local entry = #requestKeys > 0 and findListed(requestKeys, caller)
  if not entry then return nil end
  local reference = toReference(entry)
  if stateOf(reference) ~= RECORD then return reference end
  -- Its record came by the decision's id, so this is another call that uses the id again.
  removeEntry(reference)
end

-- Of a record that belongs to a check whose cost is counted already, only that it exists is new: `isNoted`, and where
-- something stayed.
local function spendRecord(effect, isLinked, isNoted, stayed)
  for at = EFFECT_FIELDS + 1, #effect, SPEND_FIELDS do
    local place, subject, endMs = places[effect[at]], effect[at + 1], effect[at + 2]
    local amount, isRecordsOnly, drains, sinceMs, startedAtMs = unpack(effect, at + 3, at + 7)
    if isOpen(place, endMs, subject, drains, bucketsMax) then
      local entry = obtainBucket(place, endMs, subject, false, drains, sinceMs)
      local values = entry.values
      local units = isForgiven(entry, startedAtMs) and 0 or amount
      cut(values)
      local share = shareOf(values, isRecordsOnly and '' or effect[1])
      values[share + RECORDED] = values[share + RECORDED] + units
      local isOnlyNoted = isNoted or stayed and stayed[seriesAt(place)]
      if isRecordsOnly or isLinked and not isOnlyNoted then
        values[SETTLED] = values[SETTLED] + units
      elseif not isOnlyNoted then
        values[share + UNLINKED] = values[share + UNLINKED] + units
      end
      touch(entry)
    end
  end
end

-- What is dated into a window that had ended when it was checked counts where its check was (settling.ts).
local function spendWhereCharged(reference, series, subject, amount)
  if not isCharged(reference) then return end
  local charges = reference.charges
  for at = 1, #charges, CHARGE_FIELDS do
    local window = call('HGET', PLACES, charges[at])
    local endMs, place = '0', ''
    if window then endMs, place = window:match('^(%S+) (.*)$') end
    -- What it has spent since its check (below 0) may be of another window.
    local isSame = charges[at + 4] >= 0 and window and seriesAt(place) == series and tonumber(endMs) > nowMs
    if isSame and call('HGET', NAMES .. place, charges[at + 1]) == subject then
      local entry = find(place, subject)
      if not entry or isForgotten(entry.values, reference.epoch, reference.sequence) then return end
      entry.values[SETTLED] = entry.values[SETTLED] + amount
      touch(entry)
      return
    end
  end
end

local function applyRecord(effect)
  local reference = effect[3] ~= 0
    and withJoined({ epoch = effect[3], sequence = effect[4], isHeld = effect[5], charges = effect[6] })
    or findByRequest(effect[2], effect[8])
  if not reference then
    spendRecord(effect, false, false)
    return UNLINKED_RECORD
  end
  local state = stateOf(reference)
  if state == RECORD then return REPEATED end
  if state == OPEN then
    local staysOf, stayed = keptOf, nil
    if effect[7] then staysOf, stayed = stayingOf(effect) end
    takeOut(reference, staysOf)
    spendRecord(effect, true, false, stayed)
    for at = EFFECT_FIELDS + 1, #effect, SPEND_FIELDS do
      local subject, endMs, amount, _, drains = unpack(effect, at + 1, at + 5)
      if not drains and endMs <= nowMs then spendWhereCharged(reference, seriesAt(places[effect[at]]), subject, amount) end
    end
    floorTaken()
  else
    spendRecord(effect, false, true)
  end
  if state == FORGOTTEN then return REPEATED end
  mark(reference, RECORD)
  -- The request id has found its record; another record with it is another call.
  removeEntry(reference)
  return LINKED
end

local counts = { 0, 0, 0 }
for _, effect in ipairs(effects) do
  local count = applyRecord(effect)
  counts[count] = counts[count] + 1
end
call('HSET', POSITIONS, partition, ARGV[6])
finish()
return toDoubles({ counts[LINKED], counts[UNLINKED_RECORD], counts[REPEATED], bucketCount })
