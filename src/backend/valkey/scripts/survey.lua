-- KEYS: ctl, dead; ARGV: partitions that are known, most there may be, worker, ms after which others are gone, most workers
local base = string.sub(KEYS[1], 1, -4)
local known, most = num(ARGV[1]), num(ARGV[2])
local pending, oldest, others = 0, nil, {}

local function count(partition)
  local stream = base .. 'w:' .. str(partition)
  local lines = redis.pcall('XLEN', stream)
  if type(lines) ~= 'number' or lines == 0 then
    return false
  end
  pending = pending + lines
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', '1')[1]
  local at = num(string.match(first[1], '^%d+'))
  oldest = math.min(oldest or at, at)
  return true
end

for partition = 0, known - 1 do
  count(partition)
end
-- those of a time when there were more
for first = known, most - 1, CHUNK do
  local names = {}
  for partition = first, math.min(first + CHUNK, most) - 1 do
    names[#names + 1] = base .. 'w:' .. str(partition)
  end
  if 0 < redis.call('EXISTS', unpack(names)) then
    for partition = first, math.min(first + CHUNK, most) - 1 do
      if count(partition) then
        others[#others + 1] = str(partition)
      end
    end
  end
end
local letters = redis.pcall('XLEN', KEYS[2])

-- those that have not looked for so long, or only after the clock will have been set back
local workers, now, gone = base .. 'w:workers', millis(), num(ARGV[4])
if wrong_type(redis.pcall('ZADD', workers, str(now), ARGV[3])) then
  redis.call('UNLINK', workers)
  redis.call('ZADD', workers, str(now), ARGV[3])
end
redis.call('ZREMRANGEBYSCORE', workers, '-inf', str(now - gone))
redis.call('ZREMRANGEBYSCORE', workers, str(now + gone), '+inf')
local there = redis.call('ZRANGE', workers, '0', str(num(ARGV[5]) - 1))
table.sort(there)

return {
  'survey', str(pending), oldest and str(math.max(0, millis() - oldest)) or '',
  type(letters) == 'number' and str(letters) or '0', others, there,
}
