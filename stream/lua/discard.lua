#!lua flags=allow-oom
-- KEYS: run, runs, open, bytes, gates   ARGV: run name
-- What of it is in the streams belongs to no run any more: the writer lets it go.
local f = redis.call('HMGET', KEYS[1], 'bytes', 'refusal')
if not f[1] then return {'none'} end
if (f[2] or '') == '' then return {'wanted'} end
redis.call('HINCRBY', KEYS[4], 'refused', string.format('%d', -tonumber(f[1])))
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
return {'ok', f[1]}
