-- KEYS: ctl, then the value's entry if there is one, then the entries to drop
-- ARGV: known, logmax, wmmax, shards, soft, confirm, src, why, request id,
--       the request id counts after, value? (0 or 1), load, names, envelope, fresh ms, kept ms,
--       then per target kind, namespace, text
local base = string.sub(KEYS[1], 1, -4)
local settings = {ARGV[2], ARGV[3], ARGV[4]}
local ctl = ctl_ensure(base, ARGV[1], settings)

local seen = request_seen(base, ctl, ARGV[9], ARGV[10])
if seen then
  return {'repeated', ctl.lin, seen, members_read(base)}
end

local event = {
  soft = ARGV[5] == '1',
  confirm = ARGV[6] == '1',
  src = ARGV[7],
  why = ARGV[8],
  request_id = ARGV[9],
  targets = {},
}
for i = 17, #ARGV, 3 do
  event.targets[#event.targets + 1] = {ARGV[i], ARGV[i + 1], ARGV[i + 2]}
end
local valued = ARGV[11] == '1'
local entries = {}
for i = valued and 3 or 2, #KEYS do
  entries[#entries + 1] = KEYS[i]
end

local err, logged, message = publish(base, ctl, event, entries, ARGV[1], settings)
if err then
  return err
end
if valued then
  redis.call('UNLINK', KEYS[2])
  entry_write(KEYS[2], logged.seq, logged.lin, ARGV[12], ARGV[13], ARGV[14], ARGV[15], ARGV[16])
end
tell(base, 'events', message)
return {'logged', logged.lin, logged.seq, members_read(base)}
