#!lua flags=allow-oom
-- KEYS: frames, results, run, bytes, dead, models
-- ARGV: group, id, frame bytes, run name, first, n, result, frames dead, model sha, dead letters...
-- The first completion of an entry becomes its result; any later one changes nothing.
if ARGV[9] ~= '' and redis.call('HEXISTS', KEYS[6], ARGV[9]) == 0 then return 'MODEL' end
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
local held = #ARGV[7]
for i = 10, #ARGV do
  held = held + #ARGV[i]
  redis.call('XADD', KEYS[5], '*', 'b', ARGV[i])
end
redis.call('XADD', KEYS[2], '*', 'r', ARGV[4], 'i', ARGV[5], 'n', ARGV[6], 'z', held, 'b', ARGV[7])
local grown = held - tonumber(ARGV[3])
if redis.call('EXISTS', KEYS[3]) == 0 then return 1 end
redis.call('HINCRBY', KEYS[3], 'bytes', grown)
redis.call('HINCRBY', KEYS[3], 'dead', ARGV[8])
redis.call('HINCRBY', KEYS[4], redis.call('HGET', KEYS[3], 'priority'), grown)
return 1
