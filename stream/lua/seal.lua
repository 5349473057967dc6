#!lua flags=allow-oom
-- KEYS: run   ARGV: epoch, interrupted (0|1), frames that the producer pushed
local f = redis.call('HMGET', KEYS[1], 'epoch', 'next', 'sealed', 'refusal')
if not f[1] or tonumber(f[1]) < tonumber(ARGV[1]) then return {'unknown'} end  -- see push
if f[1] ~= ARGV[1] then return {'fenced'} end
if f[4] ~= '' then return {'refused', f[4]} end
if tonumber(f[2]) < tonumber(ARGV[3]) then return {'expect', f[2]} end
if f[3] == '' then redis.call('HSET', KEYS[1], 'sealed', f[2], 'interrupted', ARGV[2]) end
return {'ok', redis.call('HGET', KEYS[1], 'sealed')}
