-- KEYS: ctl, stream; ARGV: partition, worker, consumer, lease ms, idle ms, most writes, longest park ms, whether to look for
--       what others left behind (0 or 1)
local base = string.sub(KEYS[1], 1, -4)
local stream, owner, parked = KEYS[2], KEYS[2] .. ':owner', KEYS[2] .. ':parked'
local worker, consumer, lease, idle = ARGV[2], ARGV[3], num(ARGV[4]), ARGV[5]
local most = num(ARGV[6])
local LINES_MAX = 1000

local text = redis.pcall('GET', owner)
text = type(text) == 'string' and text or nil
local mine = text and string.sub(text, 2) == worker
local left = text and redis.call('PTTL', owner) or 0
-- as with every lease: one of twice the length is of a clock that has gone back
if text and not mine and 0 < left and left <= 2 * lease then
  return {'other', str(left)}
end
redis.call('SET', owner, '-' .. worker, 'PX', str(lease))

if wrong_type(redis.pcall('ZCARD', parked)) then
  redis.call('UNLINK', parked)
end
if not mine then
  drop_consumers(stream, function(name, since)
    return name ~= consumer and math.max(num(idle), 60000) < since
  end)
end

-- Asks for lines; makes the group where there is none, from the stream's first line on.
local function grouped(...)
  local reply = redis.pcall(...)
  if failed(reply) then
    if wrong_type(reply) then
      redis.call('UNLINK', stream)
    end
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
    reply = redis.call(...)
  end
  return reply
end

local taken, done, away, count, lines, superseded, now = {}, {}, {}, 0, 0, 0, millis()
local function room()
  return count < most and lines < LINES_MAX
end

-- Takes a line, unless there is nothing to do for it: four texts, one after the other.
local function consider(id, flat, due)
  lines = lines + 1
  local seq, name = line_read(flat)
  if not seq then
    done[#done + 1] = id
    return
  end
  local found = redis.pcall('HMGET', base .. 'e:' .. name, 'd', 'a', 's', 'k')
  if found[1] ~= seq then
    done[#done + 1] = id
    superseded = superseded + 1
    return
  end
  local parked_as = found[4]
  if parked_as and not due and parked_as == ARGV[1] .. '|' .. id then
    -- its key is parked, and this line is what is parked
    away[#away + 1] = id
    return
  end
  if due then
    -- if this worker dies, it is due again
    redis.call('ZADD', parked, str(now + num(idle)), id)
  end
  local at = 4 * count
  count = count + 1
  taken[at + 1], taken[at + 2], taken[at + 3], taken[at + 4] = id, flat[2], found[2] or '0', found[3] or '0'
end

-- what is due, and what would be only after the longest pause there is: the clock has gone back since
local due_now = {}
for _, range in ipairs({{'-inf', str(now)}, {str(now + num(ARGV[7])), '+inf'}}) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', parked, range[1], range[2], 'LIMIT', '0', str(most))) do
    due_now[#due_now + 1] = id
  end
end
for _, id in ipairs(due_now) do
  if not room() then
    break
  end
  local found = redis.pcall('XRANGE', stream, id, id)
  if not failed(found) and found[1] then
    consider(id, found[1][2], true)
  else
    redis.call('ZREM', parked, id)
  end
end

-- what is done with is not to be read again
lines_leave(stream, done, away)
done, away = {}, {}

if room() and (ARGV[8] == '1' or not mine) then
  local left_of = str(most - count)
  for _, entry in ipairs(grouped('XAUTOCLAIM', stream, GROUP, consumer, idle, '0-0', 'COUNT', left_of)[2]) do
    consider(entry[1], entry[2], false)
  end
end

local more = true
while room() do
  local wanted = math.min(most - count, LINES_MAX - lines)
  local read = grouped('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', str(wanted), 'STREAMS', stream, '>')
  local entries = read and read[1] and read[1][2] or {}
  for _, entry in ipairs(entries) do
    consider(entry[1], entry[2], false)
  end
  if #entries < wanted then
    more = false
    break
  end
end

lines_leave(stream, done, away)

local due = ''
if not more then
  redis.call('SET', owner, 'w' .. worker, 'PX', str(lease))
end
local first = redis.call('ZRANGE', parked, '0', '0', 'WITHSCORES')
if first[2] then
  due = str(math.max(0, num(first[2]) - now))
end
return {'own', str(superseded), more and '1' or '0', due, taken}
