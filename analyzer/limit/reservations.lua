-- Reservations that nothing has settled.
-- ARGV: clock; `one`, epoch, sequence; or `page`, the sequence after which, and how many.
-- Answers for each, as JSON, epoch, sequence, the instant, when it expires (false when it has), the note, and its
-- charges: numbers as texts, in which nothing is rounded. Instead of one that is not there: `settled` or `unknown`.

local function toText(value)
  return type(value) == 'number' and string.format('%.17g', value) or tostring(value)
end

local function describe(reference)
  local madeAtMs, expiresAtMs, note = noteOf(reference)
  if not madeAtMs then return end
  local packed = call('HGET', HELD, reference.sequence)
  local held = packed and toReference({ cmsgpack.unpack(packed) })
  local isHeld = held and held.epoch == reference.epoch or false
  local fields = {
    toText(reference.epoch), toText(reference.sequence), toText(madeAtMs), isHeld and toText(expiresAtMs), note,
  }
  for _, value in ipairs(isHeld and held.charges or {}) do fields[#fields + 1] = toText(value) end
  return cjson.encode(fields)
end

if ARGV[2] == 'one' then
  local reference = { epoch = tonumber(ARGV[3]), sequence = tonumber(ARGV[4]) }
  local described = describe(reference)
  if described then return { described } end
  local state = stateOf(reference)
  return { (state == CALLER or state == RECORD) and 'settled' or 'unknown' }
end
local found = {}
for _, made in ipairs(call('ZRANGEBYSCORE', NOTED, '(' .. ARGV[3], '+inf', 'LIMIT', 0, ARGV[4])) do
  local ofEpoch = cmsgpack.unpack(call('HGET', NOTES, made))
  found[#found + 1] = describe({ epoch = ofEpoch, sequence = tonumber(made) })
end
return found
