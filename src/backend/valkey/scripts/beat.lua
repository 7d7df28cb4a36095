-- KEYS: ctl; ARGV: known, logmax, wmmax, shards, instance, cursor, beats, max staleness ms,
--       what is done on another server (1: verify)
-- A write on purpose: a primary that lost its replicas refuses it, and the leases of its readers end.
local base = string.sub(KEYS[1], 1, -4)
local settings = {ARGV[2], ARGV[3], ARGV[4]}
local ctl = ctl_ensure(base, ARGV[1], settings)
settings_keep(base, ctl, settings)
if (ctl.verify or '0') ~= ARGV[9] then
  redis.call('HSET', base .. 'ctl', 'verify', ARGV[9])
end

-- a confirmation may have overtaken this heartbeat: the cursor never goes back
local before = redis.pcall('HGET', base .. 'mem', ARGV[5])
local cursor = math.max(num(ARGV[6]), num(type(before) == 'string' and string.match(before, '^%d+') or nil))
local text = str(cursor) .. '|' .. ARGV[7] .. '|' .. ARGV[8]
if wrong_type(before) then
  redis.call('UNLINK', base .. 'mem')
end
redis.call('HSET', base .. 'mem', ARGV[5], text)
members_count(base, ctl)
-- calls of the function, each told to one member: whoever asks first counts them
if ctl.called then
  redis.call('HDEL', base .. 'ctl', 'called')
end
return {'head', ctl.lin, ctl.seq, ctl.nonce, str(micros()), str(num(ctl.called))}
