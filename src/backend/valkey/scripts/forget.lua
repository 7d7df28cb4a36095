-- KEYS: ctl, and in the first shard the inbox; ARGV: instance, beats or ''
-- The member's consumer goes with it, unless it holds entries that another has yet to adopt.
local base = string.sub(KEYS[1], 1, -4)
local before = redis.pcall('HGET', base .. 'mem', ARGV[1])
local beats = string.match(type(before) == 'string' and before or '', '^%d+|(%d+)|')
if ARGV[2] ~= '' and beats and num(ARGV[2]) < num(beats) then
  return {'kept'}
end
if type(before) == 'string' then
  redis.call('HDEL', base .. 'mem', ARGV[1])
  -- a record that cannot be counted in is one that the next script replaces
  redis.pcall('HINCRBY', base .. 'ctl', 'members', -1)
end
if KEYS[2] then
  drop_consumers(KEYS[2], function(name)
    return name == ARGV[1]
  end)
end
return {'forgotten'}
