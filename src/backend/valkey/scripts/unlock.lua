-- KEYS: ctl, lock; ARGV: token, name
local lock = lease_read(KEYS[2])
if not lock or lock.owner ~= ARGV[1] then
  return {'lost'}
end
redis.call('DEL', KEYS[2])
if lock.wanted then
  signal(string.sub(KEYS[1], 1, -4), {kind = 'unlocked', name = ARGV[2]})
end
return {'unlocked'}
