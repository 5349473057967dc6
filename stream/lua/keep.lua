#!lua flags=allow-oom
-- KEYS: result   ARGV: its bytes, seconds
-- SET for a server that is full: it could not be emptied otherwise.
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
