#!lua flags=allow-oom
-- KEYS: run   ARGV: epoch, n, when the first and the last was (0: now)
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or tonumber(epoch) < tonumber(ARGV[1]) then return {'unknown'} end  -- see push
if epoch ~= ARGV[1] then return {'fenced'} end
local now = redis.call('TIME')
local now_s = now[1] + now[2] / 1e6
redis.call('HINCRBY', KEYS[1], 'dropped', ARGV[2])
local function at(when) return tonumber(when) > 0 and when or now_s end
redis.call('HSETNX', KEYS[1], 'dropped_first', at(ARGV[3]))
redis.call('HSET', KEYS[1], 'dropped_last', at(ARGV[4]))
return {'ok'}
