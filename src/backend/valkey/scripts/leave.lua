-- KEYS: ctl, stream; ARGV: worker, partition, who has it from now on or '', for how many ms
-- Those who waited for the queue's lease to run out are told.
local base = string.sub(KEYS[1], 1, -4)
local owner = KEYS[2] .. ':owner'
if ARGV[3] == '' then
  redis.pcall('ZREM', base .. 'w:workers', ARGV[1])
end
local text = redis.pcall('GET', owner)
if type(text) == 'string' and string.sub(text, 2) == ARGV[1] then
  if ARGV[3] == '' then
    redis.call('DEL', owner)
  else
    redis.call('SET', owner, '-' .. ARGV[3], 'PX', ARGV[4])
  end
  signal(base, {kind = 'work', partition = num(ARGV[2])})
end
return {'left'}
