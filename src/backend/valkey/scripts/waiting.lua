-- KEYS: ctl, stream; ARGV: most, lines looked at at the most
local base = string.sub(KEYS[1], 1, -4)
local waiting, now = {}, millis()
local lines = redis.pcall('XRANGE', KEYS[2], '-', '+', 'COUNT', ARGV[2])
for _, found in ipairs(failed(lines) and {} or lines) do
  local seq, name = line_read(found[2])
  local entry_fields = seq and redis.pcall('HMGET', base .. 'e:' .. name, 'd', 'a', 's', 'er')
  if seq and not failed(entry_fields) and entry_fields[1] == seq then
    local due = redis.pcall('ZSCORE', KEYS[2] .. ':parked', found[1])
    waiting[#waiting + 1] = {
      found[1], found[2][2], entry_fields[2] or '0', entry_fields[3] or '0', entry_fields[4] or '',
      type(due) == 'string' and str(math.max(0, num(due) - now)) or '',
    }
  end
  if num(ARGV[1]) <= #waiting then
    break
  end
end
return {'waiting', waiting}
