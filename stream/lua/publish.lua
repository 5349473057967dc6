#!lua flags=allow-oom
-- KEYS: models   ARGV: sha, record
-- What is known of a model is never altered: its hash names it, the first record stays.
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
return 1
