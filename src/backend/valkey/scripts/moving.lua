-- On Valkey Cluster, before anything else. While a slot is being moved, its server answers for the keys that are still
-- there and for no others: a script would fail in the middle, and what it has done until then stands. What never exists
-- is not to be had there either, and shows it.
if type(redis.pcall('EXISTS', string.sub(KEYS[1], 1, -4) .. 'nothing')) == 'table' then
  return redis.error_reply('TRYAGAIN the slot is being moved')
end
