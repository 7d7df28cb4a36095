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
local head = ctl and num(ctl.seq)
local floor = ctl and math.max(num(ctl.floor), num(ctl.softfloor))
local moments = {}

-- The lease that a fill is under. Mostly it is the fill's own, and nobody waits for its end.
local function lease_of(key, at)
  local load, token, text = ARGV[at], ARGV[at + 2], redis.pcall('GET', key)
  if ctl and text == load .. '|' .. token .. '|' .. ctl.lin then
    return {owner = load, token = token, lin = ctl.lin, wanted = false, text = text}
  end
  return lease_parse(text)
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
  if token < floor then
    return 'stale'
  end
  -- where the token is the head, no mark is newer
  if packed ~= '' or token ~= head then
    local names = names_with({unpack(ARGV, at + 11, at + 10 + num(ARGV[at + 10]))}, packed)
    local hard, soft = 0, 0
    if names and token ~= head then
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
  local lease = ARGV[at + 9] == '1' and not ended[KEYS[key + 1]] and lease_of(KEYS[key + 1], at) or nil
  local answer = judge(KEYS[key], lease, at)
  local fresh_until, err = moment(moments, now, ARGV[at + 7]), nil
  if answer == 'stored' then
    err = entry_write(KEYS[key], fresh_until, ARGV[at + 2], ARGV[at + 1], ARGV[at], ARGV[at + 5], ARGV[at + 6], ARGV[at + 8])
  end
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
