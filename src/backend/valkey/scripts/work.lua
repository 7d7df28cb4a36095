-- What the scripts that know the queues of writes share. A queue is the stream `w:N` of lines (ns, v, key, seq, lin);
-- `w:N:parked` has the lines to be tried again by when they are due; `w:N:owner` is `-<worker>`, or `w<worker>` where that
-- one has taken all there was and waits to be told. A line stays in the stream until it is done with, so that its length is
-- what is pending and its first line is the oldest.

-- A line's fields by name, and its entry.
local function line_read(base, flat)
  local line = {}
  for i = 1, #flat, 2 do
    line[flat[i]] = flat[i + 1]
  end
  if not (line.ns and line.v and line.key and line.seq and line.lin) then
    return nil
  end
  return line, base .. 'e:' .. line.ns .. ':v' .. line.v .. ':' .. line.key
end

-- Lines that are done with are dropped; those that are parked are no longer in hand.
local function lines_leave(stream, done, away)
  local function chunks(ids, leave)
    for first = 1, #ids, CHUNK do
      leave(unpack(ids, first, math.min(first + CHUNK - 1, #ids)))
    end
  end
  chunks(done, function(...)
    redis.pcall('XACK', stream, GROUP, ...)
    redis.pcall('XDEL', stream, ...)
    redis.pcall('ZREM', stream .. ':parked', ...)
  end)
  chunks(away, function(...)
    redis.pcall('XACK', stream, GROUP, ...)
  end)
end

-- A line is to be tried again; a key that holds something else is dropped.
local function line_park(stream, due, id)
  local parked = stream .. ':parked'
  if wrong_type(redis.pcall('ZADD', parked, due, id)) then
    redis.call('UNLINK', parked)
    redis.call('ZADD', parked, due, id)
  end
end
