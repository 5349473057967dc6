#!lua flags=allow-oom
-- KEYS: frames, dead, block if it is ours   ARGV: group, id, dead letter
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('XADD', KEYS[2], '*', 'b', ARGV[3])
if KEYS[3] then redis.call('DEL', KEYS[3]) end
return 1
