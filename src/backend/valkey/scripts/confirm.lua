-- KEYS: ctl; ARGV: instance, cursor
local base = string.sub(KEYS[1], 1, -4)
local before = redis.pcall('HGET', base .. 'mem', ARGV[1])
local cursor, rest = string.match(type(before) == 'string' and before or '', '^(%d+)(|.*)$')
if cursor and num(cursor) < num(ARGV[2]) then
  redis.call('HSET', base .. 'mem', ARGV[1], ARGV[2] .. rest)
end
signal(base, {kind = 'confirmed', instance = ARGV[1], cursor = ARGV[2]})
return {'confirmed'}
