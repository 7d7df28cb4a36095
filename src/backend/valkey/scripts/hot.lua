-- KEYS: ctl, hot; ARGV: most keys, ms for which they are kept, ms for which they are merged, then heat and key in turn
-- How old the list is shows by what is left of its time. Nothing here depends on the lineage: a key is only a hint.
local hot, kept = KEYS[2], num(ARGV[2])
if redis.call('TYPE', hot).ok ~= 'zset' then
  redis.call('UNLINK', hot)
elseif redis.call('PTTL', hot) <= kept - num(ARGV[3]) then
  -- the result has no time of its own
  redis.call('ZUNIONSTORE', hot, 1, hot, 'WEIGHTS', '0')
end
for first = 4, #ARGV, 2 * CHUNK do
  redis.call('ZADD', hot, 'GT', unpack(ARGV, first, math.min(first + 2 * CHUNK - 1, #ARGV)))
end
redis.call('ZREMRANGEBYRANK', hot, '0', str(-num(ARGV[1]) - 1))
if redis.call('PTTL', hot) < 0 then
  redis.call('PEXPIRE', hot, ARGV[2])
end
return {'kept'}
