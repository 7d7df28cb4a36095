-- What the scripts that know the inbox share.
local GROUP = 'coherd'

-- Deletes consumers that hold nothing and for which `gone(name, idle ms)`.
local function drop_consumers(inbox, gone)
  local consumers = redis.pcall('XINFO', 'CONSUMERS', inbox, GROUP)
  if failed(consumers) then
    return
  end
  for _, flat in ipairs(consumers) do
    local consumer = {}
    for i = 1, #flat, 2 do
      consumer[flat[i]] = flat[i + 1]
    end
    if consumer.pending == 0 and gone(consumer.name, consumer.idle) then
      redis.call('XGROUP', 'DELCONSUMER', inbox, GROUP, consumer.name)
    end
  end
end
