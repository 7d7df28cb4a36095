-- KEYS: ctl, then the entry that something goes along for if there is one, then the entries to drop
-- ARGV: known, logmax, wmmax, shards, soft, confirm, src, why, request id,
--       the request id counts after, what goes along ('', value, hold, end, pending), load, names, envelope, fresh ms,
--       kept ms, then of what goes along three more: hold: for how many ms; end: the write's number if the origin has it,
--       whether there is a value; pending: partition, most lines, version; then a traceparent;
--       then per target kind, namespace, text; what goes along is about the first
local base = string.sub(KEYS[1], 1, -4)
local settings = {ARGV[2], ARGV[3], ARGV[4]}
local ctl = ctl_ensure(base, ARGV[1], settings)

local seen = request_seen(base, ctl, ARGV[9], ARGV[10])
if seen then
  return {'repeated', ctl.lin, seen, members_read(base), '0', '0'}
end

local event = {
  soft = ARGV[5] == '1',
  confirm = ARGV[6] == '1',
  src = ARGV[7],
  why = ARGV[8],
  request_id = ARGV[9],
  traceparent = ARGV[20],
  targets = {},
}
for i = 21, #ARGV, 3 do
  event.targets[#event.targets + 1] = {ARGV[i], ARGV[i + 1], ARGV[i + 2]}
end
local along, entry, load = ARGV[11], KEYS[2], ARGV[12]
local entries = {}
for i = along ~= '' and 3 or 2, #KEYS do
  entries[#entries + 1] = KEYS[i]
end

local stream = base .. 'w:' .. ARGV[17]
if along == 'pending' then
  local lines = redis.pcall('XLEN', stream)
  lines = type(lines) == 'number' and lines or 0
  if num(ARGV[18]) <= lines then
    return {'full', str(lines)}
  end
end

-- the event ends whatever lease there is
local ns, name = ARGV[22], ARGV[23]
local lease, key = nil, nil
if along == 'hold' or along == 'end' then
  key = base .. 'l:' .. ns .. ':' .. name
  lease = lease_read(key)
end

local err, logged, message = publish(base, ctl, event, entries, ARGV[1], settings)
if err then
  return err
end

local stored = '0'
local function write(kept, ...)
  redis.call('UNLINK', entry)
  entry_write(entry, logged.seq, logged.lin, load, ARGV[13], ARGV[14], ARGV[15], kept, ...)
  stored = '1'
end

if along == 'value' then
  write(ARGV[16])
elseif along == 'hold' then
  local mark = quarantine(lease) and lease.owner ~= QUARANTINE .. load and DISTURBED or QUARANTINE
  redis.call('SET', key, mark .. load .. '|' .. logged.seq .. '|' .. logged.lin, 'PX', ARGV[17])
elseif along == 'end' then
  local dirty = redis.pcall('HGET', entry, 'd')
  dirty = type(dirty) == 'string' and num(dirty) or nil
  -- what is pending stays unless the origin has a newer write
  if not dirty or ARGV[17] ~= '' and dirty < num(ARGV[17]) then
    if ARGV[18] == '1' and lease and lease.owner == QUARANTINE .. load and lease.lin == logged.lin then
      write(ARGV[16])
    else
      redis.call('UNLINK', entry)
    end
  end
elseif along == 'pending' then
  local parked = redis.pcall('HGET', entry, 'k')
  write(nil, 'd', logged.seq, 's', str(millis()), 'f', ARGV[15] .. '|' .. ARGV[16])
  local function append()
    return redis.pcall('XADD', stream, '*', 'ns', ns, 'v', ARGV[19], 'key', name, 'seq', logged.seq, 'lin', logged.lin)
  end
  local id = append()
  if failed(id) then
    redis.call('UNLINK', stream)
    id = append()
  end
  -- a key that is parked stays so: its next attempt is with this write
  local queue, line = string.match(type(parked) == 'string' and parked or '', '^(%d+)|(.+)$')
  if queue then
    local due = redis.pcall('ZSCORE', base .. 'w:' .. queue .. ':parked', line)
    if type(due) == 'string' then
      redis.call('ZREM', base .. 'w:' .. queue .. ':parked', line)
      redis.pcall('XDEL', base .. 'w:' .. queue, line)
      if wrong_type(redis.pcall('ZADD', stream .. ':parked', due, id)) then
        redis.call('UNLINK', stream .. ':parked')
        redis.call('ZADD', stream .. ':parked', due, id)
      end
      redis.call('HSET', entry, 'k', ARGV[17] .. '|' .. id)
    end
  end
  -- a worker that found nothing to do waits to be told
  local owner = redis.pcall('GET', stream .. ':owner')
  if type(owner) == 'string' and string.sub(owner, 1, 1) == 'w' then
    redis.pcall('SET', stream .. ':owner', '-' .. string.sub(owner, 2), 'KEEPTTL')
    tell(base, 'signals', {kind = 'work', partition = num(ARGV[17])})
  end
end
tell(base, 'events', message)
return {'logged', logged.lin, logged.seq, members_read(base), event.deferred and '1' or '0', stored}
