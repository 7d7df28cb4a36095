-- KEYS: ctl, lease; ARGV: load, namespace, key
local lease = lease_read(KEYS[2])
if lease and lease.owner == ARGV[1] then
  lease_end(string.sub(KEYS[1], 1, -4), KEYS[2], lease, ARGV[2], ARGV[3])
end
return {'released'}
