-- What scripts share. Only locals: each script has before it what it uses of this text, the function library has all of it.
-- `base` is `coherd:{SHARD}:`; every key of the shard begins so. Sequence numbers are doubles, exact up to 2^53,
-- and travel as decimal strings.

local GENERATIONS = {'wm:0', 'wm:1'}
local CHUNK = 500
-- More events than others may have heard of while the instance that begins a lineage was cut off. The clock is above it
-- again in about two minutes.
local LEAP = 2 ^ 24

local function num(text)
  return tonumber(text) or 0
end

-- A whole number as digits. In two parts, each of which an integer of the server's machine holds: `%.0f` takes four times
-- as long.
local function str(number)
  if number < 1e9 then
    return string.format('%d', number)
  end
  return string.format('%d%07d', number / 1e7, number % 1e7)
end

local function failed(reply)
  return type(reply) == 'table' and reply.err or nil
end

local function wrong_type(reply)
  local err = failed(reply)
  return err and string.find(err, 'WRONGTYPE', 1, true) == 1
end

-- The server's clock in microseconds.
local function micros()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function millis()
  return math.floor(micros() / 1000)
end

-- Unique without randomness from outside: whatever goes in holds the clock, the server and the chain so far.
local function digest(...)
  return string.sub(redis.sha1hex(table.concat({...}, '|')), 1, 16)
end

-- Changes with every restart and every promotion.
local function server_id()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

local CTL = {
  'lin', 'seq', 'nonce', 'rid', 'floor', 'softfloor', 'cur', 'closed', 'logmax', 'wmmax', 'shards', 'members',
  'born', 'prev', 'start', 'lost', 'called', 'verify', 'kin', 'kinmax', 'trial',
}

-- In milliseconds: by then those who were there have said what they have seen on the server before, or its entries are
-- dropped.
local TRIAL = 3000
-- Lineages before this one whose entries may count.
local KIN_MAX = 8

-- Whether entries of another lineage count: 'kin', 'trial' while that is not decided, or nil.
local function kinship(ctl, lin)
  if not lin or not string.find(' ' .. (ctl.kin or '') .. ' ', ' ' .. lin .. ' ', 1, true) then
    return nil
  end
  if ctl.trial == '0' then
    return 'kin'
  end
  local now = redis.call('TIME')
  local left = num(ctl.trial) - (tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
  return 0 < left and left <= TRIAL and 'trial' or nil
end

-- The shard's control record, or those fields of it that are wanted; nil where there is none that can be used.
local function ctl_read(base, wanted)
  wanted = wanted or CTL
  local reply = redis.pcall('HMGET', base .. 'ctl', unpack(wanted))
  if wrong_type(reply) then
    return nil
  end
  if failed(reply) then
    error(reply)
  end
  local ctl = {}
  for i, field in ipairs(wanted) do
    ctl[field] = reply[i] or nil
  end
  if not (ctl.lin and tonumber(ctl.seq) and ctl.nonce and ctl.rid) then
    return nil
  end
  return ctl
end

-- Members as the hash has them, flat; a key of another type is dropped.
local function members_read(base)
  local reply = redis.pcall('HGETALL', base .. 'mem')
  if failed(reply) then
    redis.call('UNLINK', base .. 'mem')
    return {}
  end
  return reply
end

-- Whether the members are those that our scripts recorded. Where somebody else has removed some, an instance that
-- still answers from its copies is not among those a publisher waits for.
local function members_whole(base, ctl)
  return not ctl.members or redis.pcall('HLEN', base .. 'mem') == tonumber(ctl.members)
end

-- Begins a lineage: nothing stored before is valid, and no number is ever used again. The DELs come first: once a
-- script has written, the server no longer refuses it for want of memory, so this is done whole or not at all.
local function lineage_begin(base, old, known, rid, settings)
  local us = micros()
  local prev = old and old.seq or '0'
  local start = math.floor(us / 1000) * 128
  local last = math.max(num(known), old and num(old.seq) or 0)
  if start <= last then
    -- The clock went back: only it is sure to be above what others have seen of the lineage that ends.
    start = last + LEAP
  end
  -- On another server entries may be kept, with the marks that they are held against: those who were there decide.
  local there = old and old.verify == '1' and old.rid ~= rid and members_whole(base, old) and members_read(base) or {}
  local tried = 0 < #there
  redis.call('UNLINK', base .. 'log', base .. 'ctl', base .. 'mem', base .. 'jury', base .. 'again')
  if tried then
    for i = 1, #there, 2 do
      redis.call('HSET', base .. 'jury', there[i], '1')
    end
    redis.call('PEXPIRE', base .. 'jury', '60000')
  else
    redis.call('UNLINK', base .. GENERATIONS[1], base .. GENERATIONS[2])
  end
  local lin = digest('lineage', old and old.nonce or '', str(start), str(us), rid)
  local ctl = {
    lin = lin,
    seq = str(start),
    nonce = digest('birth', lin, str(start), str(us), rid),
    rid = rid,
    floor = tried and old.floor or str(start),
    softfloor = tried and old.softfloor or '0',
    cur = tried and old.cur or '1',
    closed = tried and old.closed or str(start),
    logmax = settings and settings[1] or old and old.logmax,
    wmmax = settings and settings[2] or old and old.wmmax,
    shards = old and old.shards or settings and settings[3],
    members = '0',
    born = str(math.floor(us / 1000)),
    prev = prev,
    start = str(start),
    -- whoever knows higher numbers has seen what this server has lost
    lost = num(prev) < num(known) and str(start) or old and old.lost or '0',
    called = old and old.called,
    verify = old and old.verify,
  }
  if tried then
    local kin, count = {old.lin}, 1
    for before in string.gmatch(old.trial == '0' and old.kin or '', '%x+') do
      count = count + 1
      kin[count] = count <= KIN_MAX and before or nil
    end
    ctl.kin = table.concat(kin, ' ')
    ctl.kinmax = str(math.max(num(prev), num(known) < start and num(known) or 0))
    ctl.trial = str(math.floor(us / 1000) + TRIAL)
  end
  local fields = {}
  for _, field in ipairs(CTL) do
    if ctl[field] then
      fields[#fields + 1] = field
      fields[#fields + 1] = ctl[field]
    end
  end
  redis.call('HSET', base .. 'ctl', unpack(fields))
  return ctl
end

-- Keeps the number of members where `members_whole` looks for it.
local function members_count(base, ctl)
  local count = str(redis.call('HLEN', base .. 'mem'))
  if count ~= ctl.members then
    redis.call('HSET', base .. 'ctl', 'members', count)
  end
end

-- The control record of a lineage that this very server began; begins one where there is none, or none to rely on, or
-- one that whoever asks knows higher numbers than: they are compared without a lineage, and so must never go back.
local function ctl_ensure(base, known, settings)
  local ctl = ctl_read(base)
  local rid = server_id()
  if ctl and ctl.rid == rid and num(known) <= num(ctl.seq) and members_whole(base, ctl) then
    if num(ctl.prev) < num(known) and num(known) < num(ctl.start) and ctl.lost ~= ctl.start then
      -- another had begun the lineage, and knew less
      ctl.lost = ctl.start
      redis.call('HSET', base .. 'ctl', 'lost', ctl.lost)
    end
    if (ctl.kin or '') ~= '' and num(ctl.kinmax) < num(known) and num(known) < num(ctl.start) then
      -- somebody knows of more than those who have spoken
      if ctl.trial == '0' then
        ctl.kin = ''
      end
      ctl.kinmax = str(num(known))
      redis.call('HSET', base .. 'ctl', 'kin', ctl.kin, 'kinmax', ctl.kinmax)
    end
    return ctl
  end
  return lineage_begin(base, ctl, known, rid, settings)
end

-- In milliseconds: by then those who are there have said what they know of the lineage before.
local DOUBT = 2000

-- Whether a pending write may have come back with what an older dump held: a newer one of its key may be among what was
-- lost. It is answered again once its worker has brought it to its origin, which knows.
local function doubtful(ctl, dirty)
  local of = num(dirty)
  if num(ctl.start) < of then
    return false
  end
  return of <= num(ctl.lost) or math.abs(millis() - num(ctl.born)) < DOUBT
end

-- Keeps what every script needs of the configuration where they find it, the function included. The number of
-- shards is never overwritten: an instance with another one must not join.
local function settings_keep(base, ctl, settings)
  if ctl.logmax ~= settings[1] or ctl.wmmax ~= settings[2] or not ctl.shards then
    ctl.logmax, ctl.wmmax, ctl.shards = settings[1], settings[2], ctl.shards or settings[3]
    redis.call('HSET', base .. 'ctl', 'logmax', ctl.logmax, 'wmmax', ctl.wmmax, 'shards', ctl.shards)
  end
end

-- The newest hard and the newest soft event that named one of `names`. Marks that cannot be read count as newest.
local function newest_marks(base, ctl, names)
  local newest = {0, 0}
  for kind, mark in ipairs({'', '~'}) do
    for first = 1, #names, CHUNK do
      local fields = {}
      for i = first, math.min(first + CHUNK - 1, #names) do
        fields[#fields + 1] = mark .. names[i]
      end
      for _, generation in ipairs(GENERATIONS) do
        local marks = redis.pcall('HMGET', base .. generation, unpack(fields))
        if failed(marks) then
          return num(ctl.seq) + 1, num(ctl.seq) + 1
        end
        for i = 1, #fields do
          newest[kind] = math.max(newest[kind], num(marks[i]))
        end
      end
    end
  end
  return newest[1], newest[2]
end

-- The names of an entry: those given, and those packed into it; nil if the pack cannot be read.
local function names_with(given, packed)
  if not packed or packed == '' then
    return given
  end
  local ok, more = pcall(cmsgpack.unpack, packed)
  if not ok or type(more) ~= 'table' then
    return nil
  end
  local names = {unpack(given)}
  for _, name in ipairs(more) do
    names[#names + 1] = tostring(name)
  end
  return names
end

-- A lease: its load, its lineage, and whether somebody waits for its end; nil where there is none.
local function lease_parse(text)
  if type(text) ~= 'string' then
    return nil
  end
  local owner, token, lin, wanted = string.match(text, '^(.*)|(%d+)|(%x+)(|?w?)$')
  if not owner then
    return nil
  end
  return {owner = owner, token = token, lin = lin, wanted = wanted == '|w', text = text}
end

local function lease_read(key)
  return lease_parse(redis.pcall('GET', key))
end

-- A write to the origin holds a lease of its own, which keeps out every fill and lasts longer than theirs. It is
-- disturbed where another such write had not ended when it began.
local QUARANTINE, DISTURBED = '!', '?'
local HOLD_MAX = 90000000

local function quarantine(lease)
  local mark = lease and string.sub(lease.owner, 1, 1)
  return (mark == QUARANTINE or mark == DISTURBED) and mark or nil
end

-- Tells whoever listens; what cannot be told is found in the log.
local function tell(base, channel, message)
  redis.pcall('PUBLISH', base .. channel, message)
end

local function signal(base, fields)
  tell(base, 'signals', cmsgpack.pack(fields))
end

local function lease_wake(base, lease, ns, name, filled)
  if lease and lease.wanted then
    signal(base, {kind = 'wake', ns = ns, key = name, filled = filled or false})
  end
end

local function lease_end(base, key, lease, ns, name, filled)
  redis.call('DEL', key)
  lease_wake(base, lease, ns, name, filled)
end

-- The moment so many milliseconds after `now`, as digits; `said` keeps what was said of that `now` before: of a step's
-- entries most are fresh for as long.
local function moment(said, now, span)
  local text = said[span]
  if not text then
    text = str(now + num(span))
    said[span] = text
  end
  return text
end

-- Writes the fields that every entry has, and more: fresh until `ends`, and without `kept` kept for ever. A key that holds
-- something else is dropped.
local function entry_write(key, ends, token, lin, load, names, envelope, kept, ...)
  local reply = nil
  for _ = 1, 2 do
    reply = redis.pcall('HSET', key, 't', token, 'l', lin, 'u', load, 'tg', names, 'v', envelope, 'x', ends, ...)
    if not wrong_type(reply) then
      break
    end
    redis.call('UNLINK', key)
  end
  if failed(reply) then
    return reply
  end
  if kept then
    redis.call('PEXPIRE', key, kept)
  end
  return nil
end

-- The boundary a prefix stands for: the last of its first eight `/` or `:`; nil for the whole namespace.
local function widen(prefix)
  local last, count = nil, 0
  for at in string.gmatch(prefix, '()[/:]') do
    count = count + 1
    if 8 < count then
      break
    end
    last = at
  end
  return last and string.sub(prefix, 1, last)
end

-- What an event's targets are in the log (plain fields, `ns` before what it goes with), in the watermarks, and of the
-- leases that it ends. `targets` are triples of kind, namespace, text; kinds are key, prefix, tag, ns, all.
local function targets_spell(base, targets)
  local fields, names, leases, all, ns = {}, {}, {}, false, nil
  local function field(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  local function within(wanted)
    if ns ~= wanted then
      ns = wanted
      field('ns', wanted)
    end
  end
  for _, target in ipairs(targets) do
    local kind, space, text = target[1], target[2], target[3]
    local prefix = kind == 'prefix' and widen(text)
    if kind == 'key' then
      within(space)
      field('key', text)
      names[#names + 1] = 'k/' .. space .. '/' .. text
      leases[#leases + 1] = base .. 'l:' .. space .. ':' .. text
    elseif prefix then
      within(space)
      field('prefix', prefix)
      names[#names + 1] = 'p/' .. space .. '/' .. prefix
    elseif kind == 'tag' then
      field('tag', text)
      names[#names + 1] = 't/' .. text
    elseif kind == 'all' then
      -- without a namespace: an empty one takes back the one before
      if ns then
        within('')
      end
      ns = nil
      field('all', '1')
      all = true
    else
      within(space)
      field('all', '1')
      names[#names + 1] = 'n/' .. space
    end
  end
  return fields, names, leases, all
end

-- Marks names as named by the events that named them, and forgets the older generation when the younger is full: whatever
-- that one knew is covered by the floor, which only asks more than the marks did. `marks` is flat: name, number, ascending.
local function marks_write(base, ctl, marks)
  local floor, softfloor = num(ctl.floor), num(ctl.softfloor)
  local current = base .. 'wm:' .. (ctl.cur == '0' and '0' or '1')
  for first = 1, #marks, 2 * CHUNK do
    local last = math.min(first + 2 * CHUNK - 1, #marks)
    if wrong_type(redis.pcall('HSET', current, unpack(marks, first, last))) then
      redis.call('UNLINK', current)
      redis.call('HSET', current, unpack(marks, first, last))
      floor = num(ctl.seq)
    end
  end
  if num(ctl.wmmax or '500000') < num(redis.call('HLEN', current)) then
    floor = math.max(floor, num(ctl.closed))
    softfloor = math.max(softfloor, num(ctl.closed))
    ctl.cur = ctl.cur == '0' and '1' or '0'
    ctl.closed = ctl.seq
    redis.call('UNLINK', base .. 'wm:' .. ctl.cur)
  end
  ctl.floor, ctl.softfloor = str(floor), str(softfloor)
end

-- The place that an event with this request id was given in this lineage, within the last minute and after `after`.
local function request_seen(base, ctl, request_id, after)
  if request_id == '' then
    return nil
  end
  local seen = redis.pcall('GET', base .. 'rq:' .. request_id)
  local lin, seq = string.match(type(seen) == 'string' and seen or '', '^(%x+)|(%d+)$')
  return lin == ctl.lin and num(after) < num(seq) and seq or nil
end

-- Keeps the place that an event with this request id was given.
local function request_keep(base, ctl, request_id)
  redis.call('SET', base .. 'rq:' .. request_id, ctl.lin .. '|' .. ctl.seq, 'PX', '60000')
end

-- What the events of one script have in common: the control record, the moment, and what is still to be written and
-- told once all of them are logged. `none` says of keys that none of them is there but those `made` since; `last` is the
-- number of the event before, as long as the control record says it as `text`.
local function step_of(base, ctl, known, settings)
  local us = micros()
  local ms = math.floor(us / 1000)
  return {
    base = base, known = known, settings = settings, ctl = ctl, us = str(us), ms = ms, at = str(ms), rest = str(us % 1000),
    log = base .. 'log', marks = {}, logged = 0, lin = false, head = false, last = false, text = false, nonces = {}, bodies = {},
    none = false, made = {},
  }
end

local function step_begin(base, known, settings)
  return step_of(base, ctl_ensure(base, known, settings), known, settings)
end

-- Announces the events of a step, which follow each other in one lineage: its name, the nonce before the first, the
-- moment, the first number; their nonces; and what each of them says.
local function step_tell(step)
  if step.nonces[1] then
    tell(step.base, 'events', cmsgpack.pack(step.head, step.nonces) .. table.concat(step.bodies))
    step.nonces, step.bodies = {}, {}
  end
end

-- A nonce that nothing else has: the first of a step holds the chain, the clock and the server, the others its begin and the
-- last digits of their numbers, which follow each other: no step has a million.
local function nonce_next(step, seq)
  local ctl = step.ctl
  if step.lin ~= ctl.lin then
    step.lin = ctl.lin
    step.root = digest(ctl.nonce, seq, step.us, ctl.rid)
    step.begin = string.sub(step.root, 1, 10)
    step.head = {ctl.lin, ctl.nonce, step.at, step.rest, seq}
    return step.root
  end
  return step.begin .. string.sub(seq, -6)
end

local function event_append(step, ...)
  local ctl = step.ctl
  local last = (step.text == ctl.seq and step.last or num(ctl.seq)) + 1
  local seq = str(last)
  step.last, step.text = last, seq
  local nonce = nonce_next(step, seq)
  local reply = redis.pcall('XADD', step.log, 'MAXLEN', '~', ctl.logmax or '200000', seq .. '-0',
    'lin', ctl.lin, 'p', ctl.nonce, 'n', nonce, 'at', step.at, 'us', step.rest, ...)
  return failed(reply) and reply or nil, seq, nonce
end

-- Logs an event in a step: `...` are its fields, `body` the same as one text. XADD comes first, for a script does not roll
-- back: it is the one call that can fail, and then nothing has changed. Only a log that somebody else has spoilt is worth
-- a new lineage. Returns an error reply, or nil; the event's place then is what the step's control record says.
local function event_log(step, body, ...)
  local err, seq, nonce = event_append(step, ...)
  if err and (wrong_type(err) or string.find(err.err, 'ERR', 1, true) == 1) then
    step_tell(step)
    step.ctl = lineage_begin(step.base, step.ctl, step.known, step.ctl.rid, step.settings)
    err, seq, nonce = event_append(step, ...)
  end
  if err then
    return err
  end
  step.ctl.seq, step.ctl.nonce = seq, nonce
  step.logged = step.logged + 1
  step.nonces[#step.nonces + 1] = nonce
  step.bodies[#step.bodies + 1] = body
  return nil
end

-- The event names `names[first]` to `names[last]`, or all there is.
local function event_marks(step, soft, all, names, first, last)
  local marks, seq = step.marks, step.ctl.seq
  if all then
    step.ctl[soft and 'softfloor' or 'floor'] = seq
  end
  for i = first, last do
    marks[#marks + 1] = soft and '~' .. names[i] or names[i]
    marks[#marks + 1] = seq
  end
end

-- Whether a key may be there.
local function may_be(step, key)
  return not step.none or step.made[key]
end

-- Ends whatever leases there are under `keys[first]` to `keys[last]`.
local function leases_void(step, keys, first, last)
  for i = first, last do
    local key = keys[i]
    if may_be(step, key) then
      local text = redis.pcall('GETDEL', key)
      if failed(text) then
        redis.call('DEL', key)
      end
      local lease = lease_parse(text)
      if lease and lease.wanted then
        lease_wake(step.base, lease, string.match(string.sub(key, #step.base + 3), '^([^:]*):(.*)$'))
      end
    end
  end
end

-- Logs an event and does what it says.
local function publish(step, event)
  local targets, names, leases, all = targets_spell(step.base, event.targets)
  local fields = {}
  local function field(name, value)
    if value ~= '' then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  field('soft', event.soft and '1' or '')
  field('src', event.src)
  field('why', event.why)
  field('rq', event.request_id)
  field('tp', event.traceparent or '')
  for _, part in ipairs(targets) do
    fields[#fields + 1] = part
  end
  local err = event_log(step, cmsgpack.pack(fields), unpack(fields))
  if err then
    return err
  end
  event_marks(step, event.soft, all, names, 1, #names)
  leases_void(step, leases, 1, #leases)
  if event.request_id ~= '' then
    request_keep(step.base, step.ctl, event.request_id)
  end
  return nil
end

-- Writes down what a step has come to, and announces its events.
local function step_end(step)
  if step.logged == 0 then
    return
  end
  local base, ctl = step.base, step.ctl
  marks_write(base, ctl, step.marks)
  redis.call('HSET', base .. 'ctl', 'seq', ctl.seq, 'nonce', ctl.nonce, 'floor', ctl.floor, 'softfloor', ctl.softfloor,
    'cur', ctl.cur, 'closed', ctl.closed)
  step_tell(step)
end
