-- KEYS: ctl, stream; ARGV: worker
local owner = KEYS[2] .. ':owner'
local text = redis.pcall('GET', owner)
if type(text) == 'string' and string.sub(text, 2) == ARGV[1] then
  redis.call('DEL', owner)
end
return {'left'}
