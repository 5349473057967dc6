#!lua flags=allow-oom
-- KEYS: frames   ARGV: group, consumer, idle milliseconds, id
-- Set how long an entry has been idle, if it is still this consumer's: a zombie takes nothing back.
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[4], ARGV[4], 1, ARGV[2])
if #held == 0 then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[4], 'IDLE', ARGV[3], 'JUSTID')
return 1
