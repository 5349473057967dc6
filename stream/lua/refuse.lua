#!lua flags=allow-oom
-- KEYS: writer, run, bytes   ARGV: epoch, reason
-- Bytes of a run that no writer takes are counted apart, so that they fill no priority.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'fenced'} end
local f = redis.call('HMGET', KEYS[2], 'bytes', 'priority', 'refusal')
if not f[1] then return {'ok'} end
redis.call('HSET', KEYS[2], 'refusal', ARGV[2])
if (f[3] or '') == '' then
  redis.call('HINCRBY', KEYS[3], f[2], string.format('%d', -tonumber(f[1])))
  redis.call('HINCRBY', KEYS[3], 'refused', f[1])
end
return {'ok'}
