-- KEYS: ctl; ARGV: known, logmax, wmmax, shards
-- Nothing else may be asked over a connection before this: a server that came back with older data would give the
-- same numbers to other events.
local base = string.sub(KEYS[1], 1, -4)
local settings = {ARGV[2], ARGV[3], ARGV[4]}
local ctl = ctl_ensure(base, ARGV[1], settings)
-- a heartbeat keeps what is configured; whoever only looks leaves it as it is
if not ctl.shards then
  settings_keep(base, ctl, settings)
end
return {'ready', ctl.lin, ctl.seq, ctl.shards}
