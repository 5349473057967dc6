#!lua flags=allow-oom
-- KEYS: gates   ARGV: a run, or * for all of them; shut|open
-- Whose producers an operator holds back, and since when.
if ARGV[2] == 'open' then return redis.call('HDEL', KEYS[1], ARGV[1]) end
local now = redis.call('TIME')
return redis.call('HSETNX', KEYS[1], ARGV[1], now[1] + now[2] / 1e6)
