-- KEYS: ctl, stream; ARGV: worker, partition
-- Those who waited for the queue's lease to run out are told.
local owner = KEYS[2] .. ':owner'
local text = redis.pcall('GET', owner)
if type(text) == 'string' and string.sub(text, 2) == ARGV[1] then
  redis.call('DEL', owner)
  tell(string.sub(KEYS[1], 1, -4), 'signals', {kind = 'work', partition = num(ARGV[2])})
end
return {'left'}
