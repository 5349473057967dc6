#!lua flags=allow-oom
-- KEYS: frames, dead   ARGV: group, id, dead letter
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('XADD', KEYS[2], '*', 'b', ARGV[3])
return 1
