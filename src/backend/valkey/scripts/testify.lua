-- KEYS: ctl; ARGV: known, logmax, wmmax, shards, instance, the lineage it followed, the last number it knows of there,
--       what it says ('' asks only, 'some': events are missing, 'all' that it has seen), then per event number, soft,
--       src, why, number of targets, and of each kind, namespace, text
-- A member says what it has seen of the lineage before. What this server lacks is logged again. Once all who were there
-- have said so, and nothing is missing, entries of before count again.
local base = string.sub(KEYS[1], 1, -4)
local settings = {ARGV[2], ARGV[3], ARGV[4]}
local ctl = ctl_read(base)
if not ctl or ctl.rid ~= server_id() or string.match(ctl.kin or '', '^%x+') ~= ARGV[6] then
  return {'none'}
end

local function refuse()
  redis.call('HSET', base .. 'ctl', 'kin', '')
  return {'refused'}
end

local seen = num(ARGV[7])
if ctl.trial == '0' then
  -- it was decided without this one's word
  return seen <= num(ctl.kinmax) and {'kept'} or refuse()
end
if kinship(ctl, ARGV[6]) ~= 'trial' then
  return refuse()
end
if ARGV[8] == '' then
  return {'trial', ctl.prev}
end
if ARGV[8] ~= 'all' then
  return refuse()
end

local again, jury, start = base .. 'again', base .. 'jury', ctl.lin
local step = step_of(base, ctl, ARGV[1], settings)
local at = 9
while ARGV[at] do
  local seq, count = ARGV[at], num(ARGV[at + 4])
  local event = {
    soft = ARGV[at + 1] == '1',
    src = ARGV[at + 2],
    why = ARGV[at + 3],
    request_id = '',
    targets = {},
  }
  at = at + 5
  for _ = 1, count do
    event.targets[#event.targets + 1] = {ARGV[at], ARGV[at + 1], ARGV[at + 2]}
    at = at + 3
  end
  if num(ctl.prev) < num(seq) and redis.call('HEXISTS', again, seq) == 0 then
    local err = publish(step, event)
    if err then
      step_end(step)
      return err
    end
    redis.call('HSET', again, seq, '1')
  end
end
step_end(step)
ctl = step.ctl
if ctl.lin ~= start then
  return {'none'}
end
redis.call('PEXPIRE', again, '60000')
ctl.kinmax = str(math.max(num(ctl.kinmax), seen))
redis.call('HSET', base .. 'ctl', 'kinmax', ctl.kinmax)
redis.call('HDEL', jury, ARGV[5])
if 0 < redis.call('HLEN', jury) then
  return {'waits'}
end
-- an event that somebody knew of and nobody remembers may have named anything
if redis.call('HLEN', again) ~= num(ctl.kinmax) - num(ctl.prev) then
  return refuse()
end
redis.call('HSET', base .. 'ctl', 'trial', '0')
return {'kept'}
