-- KEYS: ctl, when the caller will have regained all it spent; ARGV: interval in ns, burst
-- GCRA in microseconds of the server's clock. Nothing here depends on the lineage: a limit that is forgotten forgives.
local now = micros()
local interval, burst = num(ARGV[1]) / 1000, num(ARGV[2])
local capacity = interval * burst

local known = redis.pcall('GET', KEYS[2])
known = type(known) == 'string' and tonumber(known) or now
-- what was written under a larger quota, before the clock was set back, or by somebody else (`nan`, `inf`) has nobody
-- wait longer than this burst takes
if not (known <= now + capacity) then
  known = now + capacity
end

local regained = math.max(known, now) + interval
local wait = regained - (now + capacity)
-- a double holds today's microseconds to a quarter
if 0.5 < wait then
  return {'refused', str(math.ceil(wait))}
end
redis.call('SET', KEYS[2], string.format('%.2f', regained), 'PX', str(math.max(1, math.ceil((regained - now) / 1000))))
return {'admitted', str(math.max(0, math.min(burst - 1, math.floor((0.5 - wait) / interval))))}
