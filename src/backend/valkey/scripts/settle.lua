-- KEYS: ctl, stream, dead; ARGV: known, logmax, wmmax, shards, partition,
--       then per write id, its entry's name, seq, outcome: flushed, noted (the same with an event), outdone; or
--       parked and ms, whether it counts (0 or 1), why; or dead and ms if there is no room, most, why
local base = string.sub(KEYS[1], 1, -4)
local stream, dead = KEYS[2], KEYS[3]
local settings = {ARGV[2], ARGV[3], ARGV[4]}
local answers, done, away = {}, {}, {}
local step, now = nil, millis()
local WITH_REASON = {parked = true, dead = true}

-- What has been done is done, however far it went.
local function leave()
  if step then
    step_end(step)
  end
  lines_leave(stream, done, away)
end

-- Namespace, version and key of an entry's name.
local function name_read(name)
  return string.match(name, '^([^:]*):v(%d+):(.*)$')
end

local function announce(name)
  local ns, _, key = name_read(name)
  step = step or step_begin(base, ARGV[1], settings)
  local event = {soft = false, src = 'write', why = '', request_id = '', targets = {{'key', ns, key}}}
  local err = publish(step, event)
  if err then
    leave()
    error(err)
  end
  return step.ctl
end

local function park(id, entry, pause, counts, why)
  if counts then
    redis.call('HINCRBY', entry, 'a', '1')
  end
  redis.call('HSET', entry, 'k', ARGV[5] .. '|' .. id, 'er', why)
  line_park(stream, str(now + num(pause)), id)
  away[#away + 1] = id
end

-- For how long a clean entry is kept, and until when it is fresh, by what the dirty one says of its times.
local ends = {}
local function ends_of(times)
  local of = ends[times]
  if not of then
    local fresh, kept = string.match(times, '^(%d+)|(%d+)$')
    of = {fresh = str(now + num(fresh)), kept = kept or '0'}
    ends[times] = of
  end
  return of
end

local FLUSHED, OTHERS = {'f', 'k'}, {'v', 'u', 'tg', 'a', 's', 'l'}

local function flush(name, entry, times, parked, event)
  -- the event comes first: if it cannot be logged, nothing has changed
  local logged = event and announce(name)
  local of = ends_of(times or '')
  if of.kept == '0' then
    redis.call('UNLINK', entry)
    return
  end
  if parked then
    redis.call('HDEL', entry, 'd', 'f', 's', 'a', 'k', 'er')
  else
    redis.call('HDEL', entry, 'd', 'f', 's')
  end
  if logged then
    redis.call('HSET', entry, 'x', of.fresh, 't', logged.seq, 'l', logged.lin)
  else
    redis.call('HSET', entry, 'x', of.fresh)
  end
  redis.call('PEXPIRE', entry, of.kept)
end

local function settle(i)
  local id, name, seq, outcome = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local entry = base .. 'e:' .. name
  local flushed = outcome == 'flushed' or outcome == 'noted'
  local found = redis.pcall('HMGET', entry, 'd', unpack(flushed and FLUSHED or OTHERS))
  if found[1] ~= seq then
    done[#done + 1] = id
    return 'superseded'
  end

  if flushed then
    flush(name, entry, found[2], found[3], outcome == 'noted')
  elseif outcome == 'parked' then
    park(id, entry, ARGV[i + 4], ARGV[i + 5] == '1', ARGV[i + 6])
    return 'done'
  elseif outcome == 'outdone' then
    announce(name)
    redis.call('UNLINK', entry)
  else
    local letters = redis.pcall('XLEN', dead)
    if num(ARGV[i + 5]) <= (type(letters) == 'number' and letters or 0) then
      park(id, entry, ARGV[i + 4], true, ARGV[i + 6])
      return 'full'
    end
    announce(name)
    local ns, version, key = name_read(name)
    local envelope, load, names, attempts, since, lin = unpack(found, 2, 7)
    local function bury()
      return redis.pcall('XADD', dead, '*', 'ns', ns, 'v', version, 'key', key, 'seq', seq, 'lin', lin or '',
        'u', load or '', 'tg', names or '', 'val', envelope or '', 'a', str(num(attempts) + 1), 's', since or '0',
        'er', ARGV[i + 6])
    end
    if wrong_type(bury()) then
      redis.call('UNLINK', dead)
      bury()
    end
    redis.call('UNLINK', entry)
  end
  done[#done + 1] = id
  return 'done'
end

local i = 6
while ARGV[i] do
  answers[#answers + 1] = settle(i)
  i = i + (WITH_REASON[ARGV[i + 3]] and 7 or 4)
end
leave()
return {'settled', answers}
