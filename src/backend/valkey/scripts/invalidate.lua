-- The function `coherd_invalidate`: the door for any client of the server, in any language.
-- FCALL coherd_invalidate 1 coherd:{CLUSTER}:ctl ns users key 1 tag team:7

local TARGETS_MAX = 1000
local TEXT_MAX = 256

local function utf8_valid(text)
  local at, size = 1, #text
  while at <= size do
    local first = string.byte(text, at)
    local more, low, high = 0, 0x80, 0xBF
    if first < 0x80 then
      more = 0
    elseif 0xC2 <= first and first <= 0xDF then
      more = 1
    elseif 0xE0 <= first and first <= 0xEF then
      more = 2
      low = first == 0xE0 and 0xA0 or low
      high = first == 0xED and 0x9F or high
    elseif 0xF0 <= first and first <= 0xF4 then
      more = 3
      low = first == 0xF0 and 0x90 or low
      high = first == 0xF4 and 0x8F or high
    else
      return false
    end
    for i = 1, more do
      local byte = string.byte(text, at + i)
      if not byte or byte < low or high < byte then
        return false
      end
      low, high = 0x80, 0xBF
    end
    at = at + more + 1
  end
  return true
end

-- Each field's reader returns what is wrong with the value, or nil.
local function event_parse(args)
  local event = {soft = false, src = '', why = '', request_id = '', targets = {}}
  local ns = nil

  local function target(kind, text)
    event.targets[#event.targets + 1] = {kind, kind ~= 'tag' and ns or '', text}
  end
  local function keyed(kind)
    return function(value)
      if not ns then
        return '`' .. kind .. '` needs an `ns` before it'
      end
      if #value < 1 or 512 < #value then
        return 'a ' .. kind .. ' has 1 to 512 bytes, this one has ' .. #value
      end
      if not utf8_valid(value) then
        return 'a ' .. kind .. ' is UTF-8, this one is not'
      end
      target(kind, value)
    end
  end
  local function flag(name, set)
    return function(value)
      if value == '1' or value == 'true' then
        set()
      elseif value ~= '0' and value ~= 'false' then
        return '`' .. name .. '` is 1 or 0'
      end
    end
  end
  local function free(name, field)
    return function(value)
      if TEXT_MAX < #value then
        return '`' .. name .. '` has at most ' .. TEXT_MAX .. ' bytes, this one has ' .. #value
      end
      if not utf8_valid(value) then
        return '`' .. name .. '` is UTF-8, this one is not'
      end
      event[field] = value
    end
  end
  local readers = {
    ns = function(value)
      if not string.match(value, '^[a-z0-9_-]+$') or 64 < #value then
        return 'a namespace is 1 to 64 of a-z, 0-9, `_` and `-`'
      end
      ns = value
    end,
    key = keyed('key'),
    prefix = keyed('prefix'),
    tag = function(value)
      if #value < 1 or 256 < #value or string.find(value, '[^!-~]') or string.find(value, ',', 1, true) then
        return 'a tag is 1 to 256 visible ASCII characters without comma'
      end
      target('tag', value)
    end,
    all = flag('all', function()
      target(ns and 'ns' or 'all', '')
    end),
    soft = flag('soft', function()
      event.soft = true
    end),
    request_id = free('request_id', 'request_id'),
    src = free('src', 'src'),
    why = free('why', 'why'),
    -- what is malformed counts as not sent
    traceparent = function(value)
      local trace, span, flags = string.match(value, '^00%-([0-9a-f]+)%-([0-9a-f]+)%-([0-9a-f]+)$')
      if trace and #trace == 32 and #span == 16 and #flags == 2 then
        event.traceparent = value
      end
    end,
  }

  if #args % 2 == 1 then
    return nil, 'fields come in pairs of name and value, `' .. string.sub(args[#args], 1, 64) .. '` has no value'
  end
  for i = 1, #args, 2 do
    local reader = readers[args[i]]
    if not reader then
      return nil, 'unknown field `' .. string.sub(args[i], 1, 64)
        .. '`, expected ns, key, prefix, tag, all, soft, request_id, src, why or traceparent'
    end
    local fault = reader(args[i + 1])
    if fault then
      return nil, fault
    end
    if TARGETS_MAX < #event.targets then
      return nil, 'an event has at most ' .. TARGETS_MAX .. ' targets'
    end
  end
  if #event.targets == 0 then
    return nil, 'nothing to invalidate: give a key, prefix, tag or all'
  end
  return event
end

local function coherd_invalidate(keys, args)
  local base = #keys == 1 and string.match(keys[1], '^(coherd:{[^{}]+}:)ctl$')
  if not base then
    return redis.error_reply('ERR coherd_invalidate takes one key, coherd:{CLUSTER}:ctl')
  end
  local event, fault = event_parse(args)
  if not event then
    return redis.error_reply('ERR ' .. fault)
  end
  local step = step_begin(base, '0')
  local ctl = step.ctl
  if 1 < num(ctl.shards) then
    return redis.error_reply('ERR this cluster has ' .. ctl.shards
      .. ' shards and an event may concern them all: use the inbox or HTTP')
  end
  local seen = request_seen(base, ctl, event.request_id)
  if seen then
    return seen .. '-0'
  end
  local err = publish(step, event)
  if err then
    return err
  end
  step_end(step)
  -- the next heartbeat takes note of it
  redis.pcall('HINCRBY', base .. 'ctl', 'called', '1')
  return step.ctl.seq .. '-0'
end

redis.register_function('coherd_invalidate', coherd_invalidate)
