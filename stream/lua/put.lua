#!lua flags=allow-oom
-- KEYS: hash   ARGV: field, value
-- Small records without which a full server could not be emptied.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
