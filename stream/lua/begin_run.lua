#!lua flags=allow-oom
-- KEYS: run, models   ARGV: model
-- The model that a run began with: whoever asks first says it, and from then on it stands.
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSETNX', KEYS[1], 'model', ARGV[1]) end
local first = redis.call('HGET', KEYS[1], 'model')
return first and redis.call('HGET', KEYS[2], first)
