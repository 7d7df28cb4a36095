-- KEYS: ctl, lock; ARGV: check the server's identity (0 or 1), token, ttl ms
-- A lock of another lineage stands until its time is over, and is not extended: another may have had it since, of whom
-- this server knows nothing.
local ctl = ctl_read(string.sub(KEYS[1], 1, -4))
if not ctl or ARGV[1] == '1' and ctl.rid ~= server_id() then
  return {'lineage'}
end
local lock = lease_read(KEYS[2])
if not lock or lock.owner ~= ARGV[2] or lock.lin ~= ctl.lin or redis.call('PTTL', KEYS[2]) <= 0 then
  return {'lost'}
end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {'held', lock.token}
