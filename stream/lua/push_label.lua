#!lua
-- KEYS: labels, held, counts   ARGV: label, high-water mark
-- 1: it waits for the archive; 0: no room. The same bytes wait only once.
local sha = redis.sha1hex(ARGV[1])
if redis.call('HEXISTS', KEYS[2], sha) == 1 then return 1 end
local held = tonumber(redis.call('HGET', KEYS[3], 'bytes') or '0')
-- a label larger than the mark passes when nothing waits: it would never pass otherwise
if held > 0 and held + #ARGV[1] > tonumber(ARGV[2]) then return 0 end
redis.call('XADD', KEYS[1], '*', 'p', ARGV[1], 'k', sha)
redis.call('HSET', KEYS[2], sha, 1)
redis.call('HINCRBY', KEYS[3], 'bytes', #ARGV[1])
return 1
