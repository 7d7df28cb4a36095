-- Fills, one after the other in one step.
-- KEYS: ctl, then of each fill the entry, the lease
-- ARGV: check the server's identity (0 or 1), then of each fill load, token's lineage, token, namespace, key, names,
--       envelope, fresh ms, kept ms, under a lease (0 or 1), how many names cover the key, and those
-- Without a lease the token came from the head, and only newer events keep the value out.
local base = string.sub(KEYS[1], 1, -4)
local ctl, now = ctl_read(base, {'lin', 'seq', 'nonce', 'rid', 'floor', 'softfloor'}), millis()
if ctl and ARGV[1] == '1' and ctl.rid ~= server_id() then
  ctl = nil
end

local function judge(entry, lease, at)
  local token, packed = num(ARGV[at + 2]), ARGV[at + 5]
  -- the token is the one that came with the lease, whatever the caller says
  if ARGV[at + 9] == '1' and (not lease or lease.owner ~= ARGV[at] or lease.token ~= ARGV[at + 2]) then
    return 'lease_lost'
  end
  if not ctl or ctl.lin ~= ARGV[at + 1] or lease and lease.lin ~= ctl.lin then
    return 'lineage'
  end
  if token < num(ctl.floor) or token < num(ctl.softfloor) then
    return 'stale'
  end
  -- where the token is the head, no mark is newer
  if packed ~= '' or token ~= num(ctl.seq) then
    local names = names_with({unpack(ARGV, at + 11, at + 10 + num(ARGV[at + 10]))}, packed)
    local hard, soft = 0, 0
    if names and token ~= num(ctl.seq) then
      hard, soft = newest_marks(base, ctl, names)
    end
    if not names or token < hard or token < soft then
      return 'stale'
    end
  end
  if redis.pcall('HEXISTS', entry, 'd') == 1 then
    return 'dirty'
  end
  return 'stored'
end

-- The entries before the leases: a server short of memory refuses only what a script writes first.
local answers, ends, ended, key, at = {}, {}, {}, 2, 2
while KEYS[key] do
  local lease = ARGV[at + 9] == '1' and not ended[KEYS[key + 1]] and lease_read(KEYS[key + 1]) or nil
  local answer = judge(KEYS[key], lease, at)
  local err = answer == 'stored' and entry_write(KEYS[key], now, ARGV[at + 2], ARGV[at + 1], ARGV[at], ARGV[at + 5],
    ARGV[at + 6], ARGV[at + 7], ARGV[at + 8])
  if lease and answer ~= 'lease_lost' then
    ended[KEYS[key + 1]] = true
    ends[#ends + 1] = {KEYS[key + 1], lease, ARGV[at + 3], ARGV[at + 4], answer == 'stored' and not err}
  end
  answers[#answers + 1] = err and err.err or answer
  key, at = key + 2, at + 11 + num(ARGV[at + 10])
end
for _, over in ipairs(ends) do
  lease_end(base, unpack(over))
end
return answers
