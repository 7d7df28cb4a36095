-- KEYS: ctl, inbox; ARGV: consumer, idle ms, max
-- Consumers whose entries have all been adopted are deleted: names of instances that are gone would pile up.
local base = string.sub(KEYS[1], 1, -4)
local reply = redis.pcall('XAUTOCLAIM', KEYS[2], GROUP, ARGV[1], ARGV[2], '0-0', 'COUNT', ARGV[3])
if failed(reply) then
  return reply
end
drop_consumers(KEYS[2], function(name, idle)
  return name ~= ARGV[1] and math.max(num(ARGV[2]), 60000) < idle and redis.pcall('HEXISTS', base .. 'mem', name) == 0
end)
return {'adopted', reply[2]}
