#!lua flags=allow-oom
-- KEYS: frames   ARGV: group, consumer
-- A consumer goes only when nothing is pending on it: XGROUP DELCONSUMER would drop its entries.
local held = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if #held > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
