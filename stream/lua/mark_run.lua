#!lua flags=allow-oom
-- KEYS: writer, run   ARGV: epoch, field, value
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'fenced'} end
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('HSET', KEYS[2], ARGV[2], ARGV[3]) end
return {'ok'}
