-- KEYS: ctl, lock, fence; ARGV: check the server's identity (0 or 1), token, ttl ms, fence known, fence bound,
-- wanted (0 or 1)
-- A lock is `<token>|<fence>|<lineage>`, as a lease is. The fence is the server's clock in microseconds, or more than the
-- last one where that is not greater. A server of another lineage may have lost the last one, and its clock may be behind:
-- there it is above the bound, which is how far the clock of any server before can have got that the asker knew.
local FENCE_MAX = 2 ^ 52
local base = string.sub(KEYS[1], 1, -4)
local ctl = ctl_read(base)
if not ctl or ARGV[1] == '1' and ctl.rid ~= server_id() then
  return {'lineage'}
end

local lock = lease_read(KEYS[2])
local left = lock and redis.call('PTTL', KEYS[2]) or 0
if left <= 0 then
  lock = nil
end
if lock and lock.owner ~= ARGV[2] then
  if ARGV[6] == '1' and not lock.wanted then
    -- without memory for the mark there is no wake-up, and the waiter comes back by itself
    redis.pcall('SET', KEYS[2], lock.text .. '|w', 'KEEPTTL')
  end
  return {'busy', str(left)}
end

-- who asks again, for the answer was lost, has it under the fence it was given
local again = lock and lock.lin == ctl.lin
local fence = again and lock.token
if not fence then
  local text = redis.pcall('GET', KEYS[3])
  local last, of = string.match(type(text) == 'string' and text or '', '^(%d+)|?(%x*)$')
  last = num(last)
  -- none of ours is so great
  if not (last < FENCE_MAX) then
    last = 0
  end
  local known = num(of == ctl.lin and ARGV[4] or math.max(num(ARGV[4]), num(ARGV[5])))
  fence = str(math.max(micros(), last + 1, known + 1))
  redis.call('SET', KEYS[3], fence .. '|' .. ctl.lin)
end
local wanted = again and lock.wanted and '|w' or ''
redis.call('SET', KEYS[2], ARGV[2] .. '|' .. fence .. '|' .. ctl.lin .. wanted, 'PX', ARGV[3])
return {'held', fence}
