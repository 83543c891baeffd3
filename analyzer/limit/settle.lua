-- Replaces what a decision took by the true costs, unless that has happened.
-- ARGV: clock; epoch, sequence, whether anything may be held, and its charges; the costs, each of them place, subject, end of
-- the window, amount, what drains, last reset, when the call began; 1 when nobody was told of the decision, so that its record has to spend as any other;
-- most buckets.
-- Answers 1 when it was settled now, and the buckets.

local packed = cjson.decode(ARGV[2])
local reference = { epoch = packed[1], sequence = packed[2], isHeld = packed[3], charges = packed[4] }
if stateOf(reference) ~= OPEN then return toDoubles({ 0, bucketCount }) end
takeOut(reference)
local spends, bucketsMax = cjson.decode(ARGV[3]), tonumber(ARGV[5])
for at = 1, #spends, 7 do
  local place, subject, endMs, amount, drains, sinceMs, startedAtMs = unpack(spends, at, at + 6)
  if amount ~= 0 and isOpen(place, endMs, subject, drains, bucketsMax) then
    local entry = obtainBucket(place, endMs, subject, false, drains, sinceMs)
    if not isForgiven(entry, startedAtMs) then entry.values[SETTLED] = entry.values[SETTLED] + amount end
    touch(entry)
  end
end
floorTaken()
mark(reference, CALLER)
-- Otherwise the request id stays known: the call's record still comes, and must not spend again.
if ARGV[4] == '1' then
  removeEntry(reference)
else
  unhold(reference)
  forgetNote(reference)
end
finish()
return toDoubles({ 1, bucketCount })
