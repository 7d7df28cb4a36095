-- Publications, one after the other in one step.
-- KEYS: ctl, then of each publication the entry that something goes along for if there is one, then the entries to drop
-- ARGV: known, logmax, wmmax, shards; then of each publication how many entries to drop, how many targets, soft, confirm,
--       src, why, traceparent, request id, the request id counts after, what goes along ('', value, hold, end, pending); if
--       anything does, eight more: load, names, envelope, fresh ms, kept ms, and of hold: for how many ms; of end: the
--       write's number if the origin has it, whether there is a value; of pending: partition, most lines, version;
--       then per target kind, namespace, text; what goes along is about the first
local base = string.sub(KEYS[1], 1, -4)
local step = step_begin(base, ARGV[1], {ARGV[2], ARGV[3], ARGV[4]})
local lines, told = {}, {}

-- How many lines a queue has.
local function lines_of(stream)
  if not lines[stream] then
    local count = redis.pcall('XLEN', stream)
    lines[stream] = type(count) == 'number' and count or 0
  end
  return lines[stream]
end

local function write(p, kept, ...)
  if not step.absent[p.entry] then
    redis.call('UNLINK', p.entry)
  end
  step.absent[p.entry] = nil
  local ctl = step.ctl
  entry_write(p.entry, step.ms, ctl.seq, ctl.lin, p.load, p.names, p.envelope, p.fresh, kept, ...)
end

-- Before the event: the place of what goes along, and what it takes there.
local before = {}

function before.pending(p)
  p.partition, p.stream = p.more[1], base .. 'w:' .. p.more[1]
  if num(p.more[2]) <= lines_of(p.stream) then
    return {'full', str(lines[p.stream])}
  end
end

-- the event ends whatever lease there is
function before.hold(p)
  p.key = base .. 'l:' .. p.ns .. ':' .. p.name
  p.lease = lease_read(p.key)
end

before['end'] = before.hold

-- After the event, which has the place that the control record says. Whether a value was stored.
local after = {}

function after.value(p)
  write(p, p.kept)
  return true
end

function after.hold(p)
  local mark = quarantine(p.lease) and p.lease.owner ~= QUARANTINE .. p.load and DISTURBED or QUARANTINE
  step.absent[p.key] = nil
  redis.call('SET', p.key, mark .. p.load .. '|' .. step.ctl.seq .. '|' .. step.ctl.lin, 'PX', p.more[1])
end

after['end'] = function(p)
  local written, lease = p.more[1], p.lease
  local dirty = redis.pcall('HGET', p.entry, 'd')
  dirty = type(dirty) == 'string' and num(dirty) or nil
  -- what is pending stays unless the origin has a newer write
  if dirty and (written == '' or num(written) <= dirty) then
    return false
  end
  if p.more[2] == '1' and lease and lease.owner == QUARANTINE .. p.load and lease.lin == step.ctl.lin then
    write(p, p.kept)
    return true
  end
  redis.call('UNLINK', p.entry)
end

function after.pending(p)
  local stream = p.stream
  local parked = not step.absent[p.entry] and redis.pcall('HGET', p.entry, 'k')
  write(p, nil, 'd', step.ctl.seq, 's', step.at, 'f', p.fresh .. '|' .. p.kept)
  local function append()
    return redis.pcall('XADD', stream, '*', 'ns', p.ns, 'v', p.more[3], 'key', p.name, 'seq', step.ctl.seq, 'lin',
      step.ctl.lin)
  end
  local id = append()
  if failed(id) then
    redis.call('UNLINK', stream)
    lines[stream] = 0
    id = append()
  end
  lines[stream] = lines_of(stream) + 1
  -- a key that is parked stays so: its next attempt is with this write
  local queue, line = string.match(type(parked) == 'string' and parked or '', '^(%d+)|(.+)$')
  if queue then
    local due = redis.pcall('ZSCORE', base .. 'w:' .. queue .. ':parked', line)
    if type(due) == 'string' then
      redis.call('ZREM', base .. 'w:' .. queue .. ':parked', line)
      redis.pcall('XDEL', base .. 'w:' .. queue, line)
      lines[base .. 'w:' .. queue] = nil
      if wrong_type(redis.pcall('ZADD', stream .. ':parked', due, id)) then
        redis.call('UNLINK', stream .. ':parked')
        redis.call('ZADD', stream .. ':parked', due, id)
      end
      redis.call('HSET', p.entry, 'k', p.partition .. '|' .. id)
    end
  end
  told[p.partition] = told[p.partition] or false
  return true
end

-- A worker that found nothing to do waits to be told.
local function tell_worker(partition)
  local key = base .. 'w:' .. partition .. ':owner'
  local owner = redis.pcall('GET', key)
  if type(owner) == 'string' and string.sub(owner, 1, 1) == 'w' then
    redis.pcall('SET', key, '-' .. string.sub(owner, 2), 'KEEPTTL')
    tell(base, 'signals', {kind = 'work', partition = num(partition)})
  end
end

-- Reads a publication; where the next one's arguments and keys begin.
local function read(at, key)
  local drops, targets, along, entry = num(ARGV[at]), num(ARGV[at + 1]), ARGV[at + 9], nil
  local event = {
    soft = ARGV[at + 2] == '1', confirm = ARGV[at + 3] == '1', src = ARGV[at + 4], why = ARGV[at + 5],
    traceparent = ARGV[at + 6], request_id = ARGV[at + 7], targets = {}, kept = false, deferred = false,
  }
  local first = at + 10
  if along ~= '' then
    entry, key, first = KEYS[key], key + 1, first + 8
  end
  for i = first, first + 3 * targets - 1, 3 do
    event.targets[#event.targets + 1] = {ARGV[i], ARGV[i + 1], ARGV[i + 2]}
  end
  -- All at once: a table that grows field by field is made anew several times.
  local p = {
    event = event, counts_after = ARGV[at + 8], along = along, entry = entry, entries = {unpack(KEYS, key, key + drops - 1)},
    load = ARGV[at + 10], names = ARGV[at + 11], envelope = ARGV[at + 12], fresh = ARGV[at + 13], kept = ARGV[at + 14],
    more = {ARGV[at + 15], ARGV[at + 16], ARGV[at + 17]}, ns = ARGV[first + 1], name = ARGV[first + 2],
    partition = false, stream = false, key = false, lease = false,
  }
  return p, first + 3 * targets, key + drops
end

local function answer(p)
  local event, ctl = p.event, step.ctl
  local seen = request_seen(base, ctl, event.request_id, p.counts_after)
  if seen then
    return {'repeated', ctl.lin, seen, '0', '0'}
  end
  local refused = before[p.along] and before[p.along](p)
  if refused then
    return refused
  end
  local err = publish(step, event, p.entries)
  if err then
    return nil, err
  end
  local stored = after[p.along] and after[p.along](p)
  return {'logged', step.ctl.lin, step.ctl.seq, event.deferred and '1' or '0', stored and '1' or '0'}
end

-- One question for all of them: of most keys there is nothing that an event would end.
local function absent(these)
  if 1 < #these and #these <= CHUNK and redis.call('EXISTS', unpack(these)) == 0 then
    for _, this in ipairs(these) do
      step.absent[this] = true
    end
  end
end

local answers, publications, leases, at, key = {}, {}, {}, 5, 2
while ARGV[at] do
  local p
  p, at, key = read(at, key)
  publications[#publications + 1] = p
  for _, target in ipairs(p.event.targets) do
    if target[1] == 'key' then
      leases[#leases + 1] = base .. 'l:' .. target[2] .. ':' .. target[3]
    end
  end
end
absent(leases)
absent({unpack(KEYS, 2, CHUNK + 2)})

for _, p in ipairs(publications) do
  local err
  answers[#answers + 1], err = answer(p)
  if err and #step.messages == 0 then
    return err
  elseif err then
    break
  end
end
for partition in pairs(told) do
  tell_worker(partition)
end
step_end(step)
return {'published', members_read(base), answers}
