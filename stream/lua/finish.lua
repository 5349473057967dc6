#!lua flags=allow-oom
-- KEYS: writer, run, open   ARGV: epoch, run name
-- A run that somebody resumed while its file was being finished stays open.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'fenced'} end
local sealed = redis.call('HGET', KEYS[2], 'sealed')
if sealed == '' then return {'open'} end
if sealed then redis.call('HSET', KEYS[2], 'finished', '1') end
redis.call('SREM', KEYS[3], ARGV[2])
return {'ok'}
