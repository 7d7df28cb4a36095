-- KEYS: ctl, entry, lease
-- ARGV: check the server's identity (0 or 1), load, token's lineage, token, namespace, key, names, envelope,
--       fresh ms, kept ms, under a lease (0 or 1), then the names that cover the key
-- Without a lease the token came from the head, and only newer events keep the value out.
local base = string.sub(KEYS[1], 1, -4)
local lease = ARGV[11] == '1' and lease_read(KEYS[3]) or nil
-- the token is the one that came with the lease, whatever the caller says
if ARGV[11] == '1' and (not lease or lease.owner ~= ARGV[2] or lease.token ~= ARGV[4]) then
  return {'lease_lost'}
end

local function judge()
  local ctl = ctl_read(base)
  if not ctl or ctl.lin ~= ARGV[3] or lease and lease.lin ~= ctl.lin or ARGV[1] == '1' and ctl.rid ~= server_id() then
    return 'lineage'
  end
  local token = num(ARGV[4])
  local names = names_with({unpack(ARGV, 12)}, ARGV[7])
  if not names or token < num(ctl.floor) or token < num(ctl.softfloor) then
    return 'stale'
  end
  local hard, soft = newest_marks(base, ctl, names)
  if token < hard or token < soft then
    return 'stale'
  end
  if redis.pcall('HEXISTS', KEYS[2], 'd') == 1 then
    return 'dirty'
  end
  return 'stored'
end

-- The entry before the lease: a server short of memory refuses only a script's first write.
local answer, err = judge(), nil
if answer == 'stored' then
  err = entry_write(KEYS[2], millis(), ARGV[4], ARGV[3], ARGV[2], ARGV[7], ARGV[8], ARGV[9], ARGV[10])
end
if lease then
  lease_end(base, KEYS[3], lease, ARGV[5], ARGV[6], answer == 'stored' and not err)
end
return err or {answer}
