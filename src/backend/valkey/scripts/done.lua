-- KEYS: ctl, inbox; ARGV: ids
-- Deleted as soon as they are done, so that the stream holds only what is still to do.
for first = 1, #ARGV, CHUNK do
  local last = math.min(first + CHUNK - 1, #ARGV)
  redis.call('XACK', KEYS[2], GROUP, unpack(ARGV, first, last))
  redis.call('XDEL', KEYS[2], unpack(ARGV, first, last))
end
return {'done'}
