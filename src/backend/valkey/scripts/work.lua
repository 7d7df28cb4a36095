-- What the scripts that know the queues of writes share. A queue is the stream `w:N` of lines, each with
-- one field, `w`: its number, its lineage and its entry's name (what an entry's key has behind `e:`), `|` between them;
-- `w:N:parked` has the lines to be tried again by when they are due; `w:N:owner` is `-<worker>`, or `w<worker>` where that
-- one has taken all there was and waits to be told. A line stays in the stream until it is done with, so that its length is
-- what is pending and its first line is the oldest.

-- A line's number and its entry's name; nothing where it is not one of ours.
local function line_read(flat)
  if flat[1] ~= 'w' then
    return nil
  end
  return string.match(flat[2], '^(%d+)|%x+|(.+)$')
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
