#!lua flags=allow-oom
-- KEYS: run, runs, open, bytes, gates   ARGV: run name
-- What of it is in the streams belongs to no run any more: the writer lets it go.
local f = redis.call('HMGET', KEYS[1], 'bytes', 'refusal')
if redis.call('EXISTS', KEYS[1]) == 0 then return {'none'} end
if (f[2] or '') == '' then return {'wanted'} end
local bytes = string.match(f[1] or '', '^%d+$') or '0'
redis.pcall('HINCRBY', KEYS[4], 'refused', '-' .. bytes)
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
return {'ok', bytes}
