#!lua flags=allow-oom
-- KEYS: run   ARGV: epoch, n
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return {'unknown'} end
if epoch ~= ARGV[1] then return {'fenced'} end
local now = redis.call('TIME')
local now_s = now[1] + now[2] / 1e6
redis.call('HINCRBY', KEYS[1], 'dropped', ARGV[2])
redis.call('HSETNX', KEYS[1], 'dropped_first', now_s)
redis.call('HSET', KEYS[1], 'dropped_last', now_s)
return {'ok'}
