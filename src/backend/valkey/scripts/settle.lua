-- KEYS: ctl, stream, dead; ARGV: known, logmax, wmmax, shards, partition,
--       then per write id, namespace, version, key, seq, outcome (flushed, outdone, parked, dead), and three more:
--       flushed: with an event (0 or 1); parked: ms, whether it counts (0 or 1), why; dead: ms if there is no room, most, why
local base = string.sub(KEYS[1], 1, -4)
local stream, dead = KEYS[2], KEYS[3]
local settings = {ARGV[2], ARGV[3], ARGV[4]}
local answers, done, away = {}, {}, {}
local step, now = nil, millis()

-- What has been done is done, however far it went.
local function leave()
  if step then
    step_end(step)
  end
  lines_leave(stream, done, away)
end

local function announce(ns, key)
  step = step or step_begin(base, ARGV[1], settings)
  local event = {soft = false, confirm = false, src = 'write', why = '', request_id = '', targets = {{'key', ns, key}}}
  local err = publish(step, event, {})
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

local FLUSHED, OTHERS = {'f'}, {'v', 'u', 'tg', 'a', 's', 'l'}

local function flush(ns, key, entry, times, event)
  -- the event comes first: if it cannot be logged, nothing has changed
  local logged = event and announce(ns, key)
  local fresh, kept = string.match(times or '', '^(%d+)|(%d+)$')
  if num(kept) == 0 then
    redis.call('UNLINK', entry)
    return
  end
  redis.call('HDEL', entry, 'd', 'f', 's', 'a', 'k', 'er')
  redis.call('HSET', entry, 'x', str(now + num(fresh)))
  if logged then
    redis.call('HSET', entry, 't', logged.seq, 'l', logged.lin)
  end
  redis.call('PEXPIRE', entry, kept)
end

local function settle(i)
  local id, ns, version, key, seq, outcome = unpack(ARGV, i, i + 5)
  local entry = base .. 'e:' .. ns .. ':v' .. version .. ':' .. key
  local found = redis.pcall('HMGET', entry, 'd', unpack(outcome == 'flushed' and FLUSHED or OTHERS))
  found = failed(found) and {} or found
  if found[1] ~= seq then
    done[#done + 1] = id
    return 'superseded'
  end

  if outcome == 'flushed' then
    flush(ns, key, entry, found[2], ARGV[i + 6] == '1')
  elseif outcome == 'parked' then
    park(id, entry, ARGV[i + 6], ARGV[i + 7] == '1', ARGV[i + 8])
    return 'done'
  elseif outcome == 'outdone' then
    announce(ns, key)
    redis.call('UNLINK', entry)
  else
    local letters = redis.pcall('XLEN', dead)
    if num(ARGV[i + 7]) <= (type(letters) == 'number' and letters or 0) then
      park(id, entry, ARGV[i + 6], true, ARGV[i + 8])
      return 'full'
    end
    announce(ns, key)
    local envelope, load, names, attempts, since, lin = unpack(found, 2, 7)
    local function bury()
      return redis.pcall('XADD', dead, '*', 'ns', ns, 'v', version, 'key', key, 'seq', seq, 'lin', lin or '',
        'u', load or '', 'tg', names or '', 'val', envelope or '', 'a', str(num(attempts) + 1), 's', since or '0',
        'er', ARGV[i + 8])
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

for i = 6, #ARGV, 9 do
  answers[#answers + 1] = settle(i)
end
leave()
return {'settled', unpack(answers)}
