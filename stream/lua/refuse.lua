#!lua flags=allow-oom
-- KEYS: writer, run, bytes   ARGV: epoch, reason
-- Bytes of a run that no writer takes are counted apart, so that they fill no priority.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'fenced'} end
local f = redis.call('HMGET', KEYS[2], 'bytes', 'priority', 'refusal')
if redis.call('EXISTS', KEYS[2]) == 0 then return {'ok'} end
redis.call('HSET', KEYS[2], 'refusal', ARGV[2])
-- what a producer put into its record by hand must not stop the writer half way: match, pcall
local bytes = string.match(f[1] or '', '^%d+$')
if (f[3] or '') == '' and bytes and (f[2] == 'live' or f[2] == 'bulk') then
  redis.pcall('HINCRBY', KEYS[3], f[2], '-' .. bytes)
  redis.pcall('HINCRBY', KEYS[3], 'refused', bytes)
end
return {'ok'}
