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

-- A line is done with.
local function line_drop(stream, id)
  redis.pcall('XACK', stream, GROUP, id)
  redis.pcall('XDEL', stream, id)
  redis.pcall('ZREM', stream .. ':parked', id)
end
