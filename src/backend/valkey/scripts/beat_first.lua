-- Before everything else, the heartbeat as it nearly always is: of a member that is known, in a lineage that this server
-- began, where nothing is new but the beat. What it finds otherwise it leaves as it is, to the whole script below.
-- Its arguments are that one's.
do
  local mem = string.sub(KEYS[1], 1, -4) .. 'mem'
  local ctl = redis.pcall('HMGET', KEYS[1], 'lin', 'seq', 'nonce', 'rid', 'logmax', 'wmmax', 'shards', 'verify', 'members',
    'start', 'called')
  local lin, seq, nonce, rid, logmax, wmmax, shards, verify, members, start, called = unpack(ctl)
  local known, last, begun = tonumber(ARGV[1]), tonumber(seq), tonumber(start)
  if lin and last and nonce and rid and shards and begun and not called and known and begun <= known and known <= last
    and logmax == ARGV[2] and wmmax == ARGV[3] and (verify or '0') == ARGV[9]
    and string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') == rid
    and redis.pcall('HLEN', mem) == tonumber(members)
  then
    local before = redis.pcall('HGET', mem, ARGV[5])
    local cursor = type(before) == 'string' and string.match(before, '^%d+')
    if cursor then
      -- a confirmation may have overtaken this heartbeat: the cursor never goes back
      cursor = tonumber(cursor) < tonumber(ARGV[6]) and ARGV[6] or cursor
      redis.call('HSET', mem, ARGV[5], cursor .. '|' .. ARGV[7] .. '|' .. ARGV[8])
      local time = redis.call('TIME')
      return {'head', lin, seq, nonce, time[1] .. string.format('%06d', time[2]), '0'}
    end
  end
end
