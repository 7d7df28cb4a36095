-- Publications, one after the other in one step.
-- KEYS: ctl, then of each publication the leases that its event ends, its own key's first; the entry that something goes
--       along for, if anything does; and the entries to drop, the last of those that are there
-- ARGV: known, logmax, wmmax, shards; then of each publication
--       its shape: how many fields, names, leases, entries, and how many of these to drop, two bytes each; soft, of
--       everything, with a request id, what goes along, a byte each;
--       its fields in the log, its names, its fields as they are announced; perhaps the request id, and after what it counts;
--       perhaps what goes along: load, names, envelope, fresh ms, kept ms, and of a hold: for how many ms; of an end: the
--       write's number if the origin has it, whether there is a value; of a pending write: partition, most lines
local base = string.sub(KEYS[1], 1, -4)
local step = step_begin(base, ARGV[1], {ARGV[2], ARGV[3], ARGV[4]})
local queues, told, answers, moments = {}, {}, {}, {}
local VALUE, HOLD, END, PENDING = 1, 2, 3, 4
local LOAD, NAMES, ENVELOPE, FRESH, KEPT, MORE = 0, 1, 2, 3, 4, 5

-- The queue of a partition: its stream, and how many lines that has.
local function queue_of(partition)
  local queue = queues[partition]
  if not queue then
    local stream = base .. 'w:' .. partition
    local count = redis.pcall('XLEN', stream)
    queue = {stream = stream, lines = type(count) == 'number' and count or 0}
    queues[partition] = queue
  end
  return queue
end

local function drop(entry)
  if may_be(step, entry) then
    redis.call('UNLINK', entry)
  end
end

-- Stores the value that goes along from `at` on.
local function write(entry, at, kept, ...)
  drop(entry)
  step.made[entry] = true
  local ctl = step.ctl
  local ends = moment(moments, step.ms, ARGV[at + FRESH])
  entry_write(entry, ends, ctl.seq, ctl.lin, ARGV[at + LOAD], ARGV[at + NAMES], ARGV[at + ENVELOPE], kept, ...)
end

-- Before the event: an answer, where what goes along is refused; and the lease that the event will end.
local before = {}

before[PENDING] = function(_, at)
  local queue, most = queue_of(ARGV[at + MORE]), ARGV[at + MORE + 1]
  if queue.most ~= most then
    queue.most, queue.max = most, num(most)
  end
  if queue.max <= queue.lines then
    return str(queue.lines)
  end
end

before[HOLD] = function(key)
  return nil, lease_read(key)
end

before[END] = before[HOLD]

-- After the event, which has the place that the control record says. Whether a value was stored.
local after = {}

after[VALUE] = function(entry, at)
  write(entry, at, ARGV[at + KEPT])
  return true
end

after[HOLD] = function(_, at, key, lease)
  local own = QUARANTINE .. ARGV[at + LOAD]
  local mark = quarantine(lease) and lease.owner ~= own and DISTURBED or QUARANTINE
  step.made[key] = true
  redis.call('SET', key, mark .. ARGV[at + LOAD] .. '|' .. step.ctl.seq .. '|' .. step.ctl.lin, 'PX', ARGV[at + MORE])
end

after[END] = function(entry, at, _, lease)
  local written = ARGV[at + MORE]
  local dirty = redis.pcall('HGET', entry, 'd')
  dirty = type(dirty) == 'string' and num(dirty) or nil
  -- what is pending stays unless the origin has a newer write
  if dirty and (written == '' or num(written) <= dirty) then
    return false
  end
  local undisturbed = lease and lease.owner == QUARANTINE .. ARGV[at + LOAD] and lease.lin == step.ctl.lin
  if undisturbed and ARGV[at + MORE + 1] == '1' then
    write(entry, at, ARGV[at + KEPT])
    return true
  end
  redis.call('UNLINK', entry)
end

-- A key that is parked stays so: its next attempt is with the line `id`.
local function park_anew(entry, parked, partition, id)
  local partition_then, line = string.match(parked, '^(%d+)|(.+)$')
  if not partition_then then
    return
  end
  local was, stream = queue_of(partition_then), queue_of(partition).stream
  local due = redis.pcall('ZSCORE', was.stream .. ':parked', line)
  if type(due) ~= 'string' then
    return
  end
  redis.call('ZREM', was.stream .. ':parked', line)
  redis.pcall('XDEL', was.stream, line)
  queues[partition_then] = nil
  if wrong_type(redis.pcall('ZADD', stream .. ':parked', due, id)) then
    redis.call('UNLINK', stream .. ':parked')
    redis.call('ZADD', stream .. ':parked', due, id)
  end
  redis.call('HSET', entry, 'k', partition .. '|' .. id)
end

after[PENDING] = function(entry, at)
  local partition, ctl = ARGV[at + MORE], step.ctl
  local queue = queue_of(partition)
  local parked = may_be(step, entry) and redis.pcall('HGET', entry, 'k')
  write(entry, at, nil, 'd', ctl.seq, 's', step.at, 'f', ARGV[at + FRESH] .. '|' .. ARGV[at + KEPT])
  local line, id = ctl.seq .. '|' .. ctl.lin .. '|' .. string.sub(entry, #base + 3), nil
  for _ = 1, 2 do
    id = redis.pcall('XADD', queue.stream, '*', 'w', line)
    if not failed(id) then
      break
    end
    redis.call('UNLINK', queue.stream)
    queue.lines = 0
  end
  queue.lines = queue.lines + 1
  if type(parked) == 'string' then
    park_anew(entry, parked, partition, id)
  end
  told[partition] = true
  return true
end

-- A worker that found nothing to do waits to be told.
local function tell_worker(partition)
  local key = base .. 'w:' .. partition .. ':owner'
  local owner = redis.pcall('GET', key)
  if type(owner) == 'string' and string.sub(owner, 1, 1) == 'w' then
    redis.pcall('SET', key, '-' .. string.sub(owner, 2), 'KEEPTTL')
    signal(base, {kind = 'work', partition = num(partition)})
  end
end

-- Drops entries that the event names; whether one of them stays for what is pending.
local function entries_drop(soft, first, last)
  local deferred = false
  for i = first, last do
    local entry = KEYS[i]
    if may_be(step, entry) then
      -- a pending write is newer than the origin: it stays until it is flushed
      if redis.pcall('HEXISTS', entry, 'd') == 1 then
        deferred = true
      elseif not soft then
        redis.call('UNLINK', entry)
      end
    end
  end
  return deferred
end

local function answer(lin, seq, what)
  local count = #answers
  answers[count + 1], answers[count + 2], answers[count + 3] = lin, seq, what
end

-- One publication, whose arguments and keys begin there; where the next one's do, and an error.
local function carry_out(at, key)
  local fields, names, leases, entries, drops, soft, all, request, what = struct.unpack('>HHHHHBBBB', ARGV[at])
  local first_name, body = at + 1 + fields, at + 1 + fields + names
  local along = body + 1 + 2 * request
  local next_at = what == 0 and along or along + MORE + 2
  local entry, next_key = key + leases, key + leases + entries

  local seen = request == 1 and request_seen(base, step.ctl, ARGV[body + 1], ARGV[body + 2])
  if seen then
    answer(step.ctl.lin, seen, 'repeated')
    return next_at, next_key
  end
  local full, lease
  if before[what] then
    full, lease = before[what](KEYS[key], along)
  end
  if full then
    answer('', full, 'full')
    return next_at, next_key
  end

  local err = event_log(step, ARGV[body], unpack(ARGV, at + 1, at + fields))
  if err then
    return nil, nil, err
  end
  event_marks(step, soft == 1, all == 1, ARGV, first_name, body - 1)
  leases_void(step, KEYS, key, entry - 1)
  local deferred = entries_drop(soft == 1, next_key - drops, next_key - 1)
  if request == 1 then
    request_keep(base, step.ctl, ARGV[body + 1])
  end
  local stored = after[what] and after[what](KEYS[entry], along, KEYS[key], lease)
  answer(step.ctl.lin, step.ctl.seq, (deferred and 'deferred' or 'logged') .. (stored and ' stored' or ''))
  return next_at, next_key
end

-- One question for all of them: of most keys there is nothing that an event would end.
if 2 < #KEYS and #KEYS <= CHUNK then
  step.none = redis.call('EXISTS', unpack(KEYS, 2)) == 0
end

local at, key, err = 5, 2, nil
while ARGV[at] do
  at, key, err = carry_out(at, key)
  if err and step.logged == 0 then
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
