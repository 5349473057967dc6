#!lua flags=allow-oom
-- KEYS: run, runs, open, bytes   ARGV: name, spec, run_id, resume (0|1), priority, growth at first
-- A refusal is forgotten here: the writer looks again at whatever is opened again.
local known = redis.call('EXISTS', KEYS[1]) == 1
local now = redis.call('TIME')
local now_s = now[1] + now[2] / 1e6
if known then
  local f = redis.call('HMGET', KEYS[1], 'spec', 'run_id', 'next', 'sealed', 'interrupted')
  local mine = f[2] == ARGV[3]
  if f[4] ~= '' and not (f[5] == '1' and ARGV[4] == '1') then return {'sealed', f[4]} end
  if f[1] ~= ARGV[2] then return {'differs', f[1]} end
  if tonumber(f[3]) > 0 and ARGV[4] ~= '1' and not mine then return {'exists', f[3]} end
else
  redis.call('HSET', KEYS[1], 'spec', ARGV[2], 'run_id', ARGV[3], 'epoch', 0, 'next', 0,
    'priority', ARGV[5], 'watermark', 0, 'bytes', 0, 'dropped', 0, 'dead', 0,
    'opened_at', now_s, 'file', '', 'host', '', 'growth', ARGV[6])
  redis.call('SADD', KEYS[2], ARGV[1])
end
local f = redis.call('HMGET', KEYS[1], 'refusal', 'bytes')
if f[1] and f[1] ~= '' then  -- see refuse
  redis.call('HINCRBY', KEYS[4], 'refused', string.format('%d', -tonumber(f[2])))
  redis.call('HINCRBY', KEYS[4], ARGV[5], f[2])
end
-- an epoch of a server that forgot must not come back: the clock is a floor for the counter
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch')) + 1
local clock = now[1] * 1000 + math.floor(now[2] / 1000)
if clock > epoch then epoch = clock end
redis.call('HSET', KEYS[1], 'epoch', string.format('%d', epoch), 'sealed', '', 'interrupted', '0',
  'finished', '0', 'refusal', '')
if ARGV[4] == '1' then redis.call('HSET', KEYS[1], 'resumed', '1') end
redis.call('SADD', KEYS[3], ARGV[1])
local r = redis.call('HMGET', KEYS[1], 'next', 'watermark')
return {'open', string.format('%d', epoch), r[1], r[2], known and '0' or '1'}
