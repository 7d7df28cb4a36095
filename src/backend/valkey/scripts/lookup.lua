-- KEYS: ctl, entry, lease
-- ARGV: check the server's identity (0 or 1), load behind the copy held or '', load that claims or '', lease ms,
--       even if fresh (0 or 1; a fresh entry other than the copy held is answered all the same), then the names that
--       cover the key
-- Writes nothing but the lease.
local base = string.sub(KEYS[1], 1, -4)
local ctl = ctl_read(base, {
  'lin', 'seq', 'nonce', 'rid', 'floor', 'softfloor', 'kin', 'trial', 'start', 'lost', 'born',
})
if not ctl or ARGV[1] == '1' and ctl.rid ~= server_id() then
  return {'lineage'}
end

-- valid by hard marks; fresh by soft marks and time too
local valid, fresh = false, false
local found = redis.pcall('HMGET', KEYS[2], 't', 'l', 'tg', 'u', 'x', 'd')
local token, lin, packed, load, until_ms, dirty = unpack(failed(found) and {} or found)
local kin = not dirty and lin ~= ctl.lin and kinship(ctl, lin)
if dirty then
  valid, fresh = true, true
elseif token and (lin == ctl.lin or kin) and num(ctl.floor) <= num(token) then
  local names = names_with({unpack(ARGV, 6)}, packed)
  if names then
    local hard, soft = newest_marks(base, ctl, names)
    valid = hard <= num(token)
    fresh = valid and math.max(soft, num(ctl.softfloor)) <= num(token) and millis() < num(until_ms)
  end
end

local function answer(status, left, with_copy)
  local reply = {status, ctl.lin, ctl.seq, left}
  if with_copy then
    for _, part in ipairs({token or '0', packed or '', load or '', redis.call('HGET', KEYS[2], 'v') or '', dirty or ''}) do
      reply[#reply + 1] = part
    end
  end
  return reply
end

-- whether it counts is about to be decided: a load that waits for that is spared
if valid and kin == 'trial' then
  if ARGV[3] ~= '' and ARGV[5] ~= '1' then
    return answer('busy', '50')
  end
  valid, fresh = false, false
end

if dirty and doubtful(ctl, dirty) then
  return answer('doubtful', '0')
end

-- a pending write cannot be loaded over; what another has loaded meanwhile need not be
if fresh and (ARGV[5] ~= '1' or dirty or ARGV[2] ~= '' and ARGV[2] ~= load) then
  local same = ARGV[2] ~= '' and ARGV[2] == load
  return answer(same and 'same' or 'fresh', '0', not same)
end
local stale = valid and not fresh
if ARGV[3] == '' then
  return answer('nothing', '0', stale)
end

local lease = lease_read(KEYS[3])
local left = lease and redis.call('PTTL', KEYS[3]) or 0
-- nobody gives out a lease of twice the length: the clock has gone back since, and it would last for as long again
local over = left <= 0 or (quarantine(lease) and HOLD_MAX or 2 * num(ARGV[4])) < left
if lease and lease.lin == ctl.lin and not over and lease.owner ~= ARGV[3] then
  if not lease.wanted then
    -- without memory for the mark there is no wake-up, and the waiter comes back by itself
    redis.pcall('SET', KEYS[3], lease.text .. '|w', 'KEEPTTL')
  end
  return answer('busy', str(left), stale)
end
local wanted = lease and lease.owner == ARGV[3] and lease.wanted and '|w' or ''
redis.call('SET', KEYS[3], ARGV[3] .. '|' .. ctl.seq .. '|' .. ctl.lin .. wanted, 'PX', ARGV[4])
return answer('leased', '0', stale)
