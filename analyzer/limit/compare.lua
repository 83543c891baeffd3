-- Comparisons with the store of call records. What was recorded when one begins is kept by `cut`, before the first
-- change since, so that it begins in one step however many buckets there are. ARGV: clock; what to do; then
--   forget
--   rebuilt  epoch; what it lacked of those before is rebuilt
--   begin    answers the number of the comparison, the positions, the windows, and up to where each was compared
--   correct  number; place, end of the window, whether it is whole, may lower, is of records only, last resets; costs, each of them
--            subject and a list of gateways and amounts; the bucket to go on from; the subjects there is room for;
--            1 when the whole window has to be compared next time, by a step before
-- A window is corrected in steps: its costs, some at a time, which go on from no bucket (-1), then every bucket that
-- had none. Answers buckets, added, removed, the bucket to go on from (-1: done), 1 when the whole window has to be
-- compared next time, and buckets in all; empty when overtaken.

local verb = ARGV[2]

if verb == 'rebuilt' then
  local last = tonumber(call('HGET', LIFE, 'rebuilt')) or 0
  call('HSET', LIFE, 'rebuilt', math.max(last, tonumber(ARGV[3])))
  return ''
end

if verb ~= 'correct' then
  comparison = comparison + 1
  hasNews = true
  finish()
  if verb == 'forget' then
    call('DEL', COMPARED)
    return ''
  end
  local positions = '[' .. table.concat(call('HVALS', POSITIONS), ',') .. ']'
  call('SET', POSITIONS_CUT, positions)
  return { string.format('%.17g', comparison), positions, call('HGETALL', PLACES), call('HGETALL', COMPARED) }
end

local number = tonumber(ARGV[3])
if number ~= comparison then return '' end
local place, endMs, isWhole, mayLower, isRecordsOnly, resets = unpack(cjson.decode(ARGV[4]))
local costs, from, bucketsMax = cjson.decode(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
if endMs <= nowMs then return toDoubles({ 0, 0, 0, -1, 0, bucketCount }) end

local window = windowOf(place, endMs)
local corrected, added, removed = 0, 0, 0
local isDoubtful = ARGV[8] == '1'

local function correctShare(values, share, difference)
  values[share + RECORDED] = values[share + RECORDED] + difference
  local ofUnlinked = isRecordsOnly and 0 or math.max(difference, -values[share + UNLINKED])
  values[share + UNLINKED] = values[share + UNLINKED] + ofUnlinked
  values[SETTLED] = math.max(0, values[SETTLED] + difference - ofUnlinked)
end

-- False where the bucket has forgotten more than the truth knows of.
local function isComparable(entry)
  local sinceMs = resets[entry.subject] or 0
  if forgetBefore(entry, sinceMs) then
    touch(entry)
    -- What was compared of it before is forgotten, too.
    if not isWhole then isDoubtful = true end
  end
  local forgetting = entry.values[FORGETTING]
  if not forgetting or forgetting[SINCE] <= sinceMs then return true end
  isDoubtful = true
  return false
end

-- `expected` by where a share begins.
local function correctBucket(entry, expected)
  local values = entry.values
  local isCorrected = false
  for share = SHARES, #values, SHARE_FIELDS do
    local cutAt = values[share + CUT]
    local applied = isWhole and cutAt or cutAt - values[share + COMPARED_TO]
    local difference = (expected[share] or 0) - applied
    -- Too much within a part may be a row that is on its way.
    if difference < 0 and not isWhole then isDoubtful = true end
    local applies = difference > 0 or (difference < 0 and mayLower)
    local isNews = values[share + COMPARED_TO] ~= cutAt
    if applies then
      correctShare(values, share, difference)
      if difference > 0 then added = added + difference else removed = removed - difference end
      isCorrected = true
    end
    values[share + COMPARED_TO] = cutAt + (applies and difference or 0)
    if isNews or applies then touch(entry) end
  end
  if isCorrected then corrected = corrected + 1 end
end

local function answer(next)
  finish()
  return toDoubles({ corrected, added, removed, next, isDoubtful and 1 or 0, bucketCount })
end

if from < 0 then
  -- Until all of the window has been corrected, a comparison that begins has to be whole.
  call('HDEL', COMPARED, window)
  for at = 1, #costs, 2 do
    local subject, amounts = costs[at], costs[at + 1]
    -- Without room, the subjects that are there come first.
    if find(place, subject) or bucketCount < bucketsMax then
      local entry = obtain(place, endMs, subject)
      local values = entry.values
      cut(values)
      if values[CORRECTED_BY] ~= comparison then
        local expected = {}
        for of = 1, #amounts, 2 do
          local share = shareOf(values, isRecordsOnly and '' or amounts[of])
          expected[share] = (expected[share] or 0) + amounts[of + 1]
        end
        if isComparable(entry) then correctBucket(entry, expected) end
        values[CORRECTED_BY] = comparison
        touch(entry)
      end
    end
  end
  return answer(-1)
end

local size = tonumber(call('HGET', SIZES, window) or 0)
local to = math.min(size, from + CORRECTED_MAX)
for index = from, to - 1 do
  local entry = find(place, call('HGET', NAMES .. place, index))
  cut(entry.values)
  if entry.values[CORRECTED_BY] ~= comparison and isComparable(entry) then correctBucket(entry, {}) end
end
if to < size then return answer(to) end
if not isDoubtful then call('HSET', COMPARED, window, call('GET', POSITIONS_CUT)) end
return answer(-1)
